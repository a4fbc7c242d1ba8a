"""The OCI Distribution API of one registry, one method for each operation, and the clients of one run."""

from __future__ import annotations

import contextlib
import logging
import random
import re
import time
from collections.abc import Callable, Iterator
from typing import Self

from sandbox.config import json_text
from sandbox.oci import address as addresses
from sandbox.oci import digest as digests
from sandbox.oci import manifest as manifests
from sandbox.oci.address import Address
from sandbox.oci.credential import Keychain
from sandbox.oci.manifest import Document
from sandbox.oci.oci_errors import RegistryError, contradicted
from sandbox.oci.transport import Answer, Transport
from sandbox.oci.uploads import OpenBlob, Uploads
from sandbox.system import interruption

MOST_PAGES = 10_000
# Repositories and tags (distribution-spec, "Pulling manifests"), so that no other text comes to a terminal.
_NAME = re.compile(r"[\w./-]+", re.ASCII)
_SIZE = re.compile(r"[0-9]{1,18}")  # longer ones are no sizes, and Python reads none of thousands of digits
log = logging.getLogger(__name__)
_ACCEPT = {"Accept": ", ".join(manifests.INDEXES + manifests.MANIFESTS)}

__all__ = ["Client", "OpenBlob"]


class Client(Uploads):
    """A registry at `url` (`http://localhost:5001`, or `localhost:5001`), usable by several threads at once.

    `keychain` is asked for an account when the registry requires one. Every method raises RegistryError. Requests that
    may be repeated are repeated on broken connections, 5xx and 429.
    """

    def __init__(
        self,
        url: str,
        *,
        keychain: Keychain | None = None,
        sleep: Callable[[float], None] = interruption.pause,
        clock: Callable[[], float] = time.monotonic,
        luck: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(Transport(url, keychain=keychain, sleep=sleep, clock=clock, luck=luck))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    @property
    def url(self) -> str:
        return str(self._transport.address)

    def ping(self) -> None:
        """Return when the registry answers `GET /v2/` (distribution-spec, "Determining Support")."""
        self._transport.send("GET", "/v2/", wanted=(200, 401))

    def manifest(self, repository: str, reference: str) -> Document | None:
        """Return the manifest or index that a tag or digest names, checked against its digest.

        None when there is none.
        """
        answer = self._transport.send(
            "GET", f"/v2/{repository}/manifests/{reference}", wanted=(200, 404), headers=_ACCEPT
        )
        if answer.status == 404:
            return None
        document = manifests.document(answer.content, answer.header("Content-Type").partition(";")[0].strip())
        if digests.is_digest(reference) and digests.of(answer.content, reference) != reference:
            raise RegistryError(
                f"digest mismatch: {self.url} returned different content for {repository}@{reference}",
                details=f"its digest is {document.digest}",
                fix="remove the image from that registry and push it again",
            )
        said = answer.header("Docker-Content-Digest")
        if digests.is_digest(said) and said != (found := digests.of(answer.content, said)):
            raise contradicted(self.url, f"{repository}:{reference}", said, found)
        return document

    def manifest_digest(self, repository: str, reference: str) -> str | None:
        """Return the digest that a tag names; None when there is none.

        Costs a HEAD if the registry sends the digest.
        """
        answer = self._transport.send(
            "HEAD", f"/v2/{repository}/manifests/{reference}", wanted=(200, 404), headers=_ACCEPT
        )
        if answer.status == 404:
            return None
        known = answer.header("Docker-Content-Digest")
        if digests.is_digest(reference):
            self._confirm(answer, reference, f"{repository}@{reference}")
        if digests.is_digest(known):
            return known
        document = self.manifest(repository, reference)
        return document.digest if document else None

    def put_manifest(self, repository: str, reference: str, document: Document) -> None:
        """Store `document` under a tag or its digest; the registry refuses it while something it names is missing."""
        answer = self._transport.send(
            "PUT",
            f"/v2/{repository}/manifests/{reference}",
            wanted=(200, 201, 202),
            headers={"Content-Type": document.media_type},
            data=document.data,
        )
        self._confirm(answer, document.digest, f"{repository}:{reference}")

    def blob_size(self, repository: str, digest: str) -> int | None:
        """Return the size in bytes of a blob in `repository`; None when it is not there, or not in this repository."""
        answer = self._transport.send("HEAD", f"/v2/{repository}/blobs/{digest}", wanted=(200, 404))
        if answer.status == 404:
            return None
        self._confirm(answer, digest, f"the blob {digest} of {repository}")
        size = answer.header("Content-Length")
        return int(size) if _SIZE.fullmatch(size) else 0

    @contextlib.contextmanager
    def blob(self, repository: str, digest: str) -> Iterator[Iterator[bytes]]:
        """Yield the bytes of a blob, in chunks, not verified."""
        answer = self._transport.send("GET", f"/v2/{repository}/blobs/{digest}", wanted=(200,), stream=True)
        with contextlib.closing(answer):
            self._confirm(answer, digest, f"the blob {digest} of {repository}")
            yield answer.chunks()

    def delete_manifest(self, repository: str, reference: str) -> None:
        """Delete a tag, or a manifest and all its tags by digest; it need not exist."""
        self._transport.send("DELETE", f"/v2/{repository}/manifests/{reference}", wanted=(200, 202, 404))

    def tags(self, repository: str) -> tuple[str, ...]:
        return tuple(self._pages(f"/v2/{repository}/tags/list", "tags"))

    def catalog(self) -> tuple[str, ...]:
        return tuple(self._pages("/v2/_catalog", "repositories"))

    def _pages(self, url: str, key: str) -> Iterator[str]:
        for _ in range(MOST_PAGES):
            answer = self._transport.send("GET", url, wanted=(200, 404))
            if answer.status == 404:
                return
            yield from self._names(answer, key)
            url = answer.following
            if not url:
                return
        raise RegistryError(f"a list of {self.url} does not end", details=f"{MOST_PAGES} pages and more of {key}")

    def _names(self, answer: Answer, key: str) -> list[str]:
        try:
            found = json_text.document(answer.content).get(key) or []
            if all(_NAME.fullmatch(name) for name in found):
                return list(found)
        except (ValueError, TypeError, AttributeError):
            pass
        raise RegistryError(
            f"{self.url} returned no list of {key}",
            details=f"{answer.action}: {answer.content[:100].decode(errors='replace')}",
            fix="check that this is a registry and not a web server or a proxy",
        )


class Clients:
    """Makes clients that live as long as `stack`, one for each address."""

    def __init__(self, stack: contextlib.ExitStack, keychain: Keychain | None) -> None:
        self._stack = stack
        self._keychain = keychain
        self._clients: dict[Address, Client] = {}

    def at(self, url: str) -> Client:
        """Return the client of the registry at `url` (see Client). Raises UsageError."""
        address = addresses.parse(url)
        if address not in self._clients:
            self._clients[address] = self._stack.enter_context(Client(str(address), keychain=self._keychain))
        return self._clients[address]
