"""The OCI Distribution API of one registry, one method for each operation, and the clients of one run."""

import contextlib
import itertools
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from urllib.parse import quote

import requests

from sandbox.config import json_text
from sandbox.errors import SandboxError
from sandbox.oci import address as addresses
from sandbox.oci import digest as digests
from sandbox.oci import manifest as manifests
from sandbox.oci.address import Address
from sandbox.oci.authorization import Grants, grants
from sandbox.oci.credential import Keychain
from sandbox.oci.manifest import Descriptor, Document
from sandbox.oci.oci_errors import RegistryError
from sandbox.oci.transport import TRIES, Answer, Transport, pause

MAX_PAGES = 10_000
# Repositories and tags (distribution-spec, "Pulling manifests"), so that no other text comes to a terminal.
_NAME = re.compile(r"[\w./-]+", re.ASCII)
_SIZE = re.compile(r"[0-9]{1,18}")  # longer ones are no sizes, and Python reads none of thousands of digits
_ACCEPT = {"Accept": ", ".join(manifests.INDEXES + manifests.MANIFESTS)}
_OCTETS = {"Content-Type": "application/octet-stream"}
# What a registry says about an upload it forgot or mixed up; our bytes were checked, so they are not to blame.
_SPOILT = {"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID", "DIGEST_INVALID"}

OpenBlob = Callable[[], AbstractContextManager[Iterable[bytes]]]


class Client(Transport):
    """A registry at `url` (`http://localhost:5001`, or `localhost:5001`), usable by several threads at once.

    Every method raises RegistryError. Requests that may be repeated are repeated on broken connections, 5xx and 429.
    """

    @property
    def url(self) -> str:
        return str(self.address)

    def ping(self) -> None:
        """Return when the registry answers `GET /v2/` (distribution-spec, "Determining Support")."""
        self.send("GET", "/v2/", wanted=(200, 401))

    def manifest(self, repository: str, reference: str) -> Document | None:
        """Return the manifest or index that a tag or digest names, checked against its digest, if there is one."""
        answer = self._find("GET", repository, f"manifests/{reference}", _ACCEPT)
        if answer is None:
            return None
        headers = answer[0].headers
        document = manifests.document(answer[1], headers.get("Content-Type", "").partition(";")[0].strip())
        expected = reference if digests.is_digest(reference) else headers.get("Docker-Content-Digest", "")
        if digests.is_digest(expected) and document.digest != expected:
            raise RegistryError(
                f"digest mismatch: {self.url} returned different content for {repository}@{expected}",
                details=f"its digest is {document.digest}",
                fix="remove the image from that registry and push it again",
            )
        return document

    def manifest_digest(self, repository: str, reference: str) -> str | None:
        """Return the digest that a tag names, if there is one; costs a HEAD if the registry sends the digest."""
        answer = self._find("HEAD", repository, f"manifests/{reference}", _ACCEPT)
        if answer is None:
            return None
        claimed: str = answer[0].headers.get("Docker-Content-Digest", "")
        if digests.is_digest(claimed):
            return claimed
        document = self.manifest(repository, reference)
        return document.digest if document else None

    def put_manifest(self, repository: str, reference: str, document: Document) -> None:
        """Store `document` under a tag or its digest; the registry refuses it while something it names is missing."""
        self.send(
            "PUT",
            f"/v2/{repository}/manifests/{reference}",
            wanted=(200, 201, 202),
            grants=grants(repository, "pull", "push"),
            headers={"Content-Type": document.media_type},
            data=document.data,
        )

    def delete_manifest(self, repository: str, reference: str) -> None:
        """Delete a tag, or a manifest and all its tags by digest; it need not exist."""
        url, delete = f"/v2/{repository}/manifests/{reference}", grants(repository, "delete", "pull")
        self.send("DELETE", url, wanted=(200, 202, 404), grants=delete)

    def blob_size(self, repository: str, digest: str) -> int | None:
        """Return the size in bytes of a blob; None when it is not there, or not in this repository."""
        answer = self._find("HEAD", repository, f"blobs/{digest}")
        if answer is None:
            return None
        size = answer[0].headers.get("Content-Length", "")
        return int(size) if _SIZE.fullmatch(size) else 0

    @contextlib.contextmanager
    def blob(self, repository: str, digest: str) -> Iterator[Iterator[bytes]]:
        url, pull = f"/v2/{repository}/blobs/{digest}", grants(repository, "pull")
        response, _ = self.send("GET", url, wanted=(200,), grants=pull, stream=True)
        with response:
            yield _chunks(response)

    def mount(self, repository: str, digest: str, source: str) -> str | None:
        """Link a blob from the repository `source`; return the URL of an upload that the registry begins instead."""
        response, _ = self.send(
            "POST",
            f"/v2/{repository}/blobs/uploads/?mount={quote(digest, safe='')}&from={quote(source, safe='')}",
            wanted=(201, 202),
            grants=grants(repository, "pull", "push") | grants(source, "pull"),
        )
        return None if response.status_code == 201 else self.resolve(response, response.headers.get("Location", ""))

    def begin(self, repository: str) -> str:
        url, push = f"/v2/{repository}/blobs/uploads/", grants(repository, "pull", "push")
        response, _ = self.send("POST", url, wanted=(202,), grants=push, headers=_OCTETS)
        return self.resolve(response, response.headers.get("Location", ""))

    def upload(self, repository: str, blob: Descriptor, open_blob: OpenBlob, *, begun: str | None = None) -> None:
        """Send a blob in one request, verified on the way (DigestMismatch). `begun` is an upload of `mount`."""
        for attempt in itertools.count():
            url, begun = begun or self.begin(repository), None
            try:
                with open_blob() as chunks:
                    body = _Sized(digests.verified(chunks, blob.digest, blob.size), blob.size)
                    self.send(
                        "PUT",
                        f"{url}{'&' if '?' in url else '?'}digest={quote(blob.digest, safe='')}",
                        wanted=(201,),
                        grants=grants(repository, "pull", "push"),
                        repeat=False,
                        headers=_OCTETS,
                        data=body if blob.size else b"".join(body),
                    )
                    return
            except SandboxError as error:
                with contextlib.suppress(SandboxError):  # `images gc` deletes unfinished uploads
                    self.send("DELETE", url, wanted=(200, 202, 204, 404), repeat=False)
                if not isinstance(error, RegistryError) or attempt + 1 == TRIES:
                    raise
                if not (error.transient or error.status == 401 or _SPOILT & {*error.codes}):  # a token has expired
                    raise
                self.sleep(pause(attempt, error.retry_after))
                if self.blob_size(repository, blob.digest) is not None:  # it arrived, and the response did not
                    return

    def tags(self, repository: str) -> tuple[str, ...]:
        return tuple(self._pages(f"/v2/{repository}/tags/list", "tags", grants(repository, "pull")))

    def catalog(self) -> tuple[str, ...]:
        return tuple(self._pages("/v2/_catalog", "repositories", frozenset()))

    def _find(self, method: str, repository: str, path: str, headers: Mapping[str, str] = {}) -> Answer | None:
        url, pull = f"/v2/{repository}/{path}", grants(repository, "pull")
        answer = self.send(method, url, wanted=(200, 404), grants=pull, headers=headers)
        return None if answer[0].status_code == 404 else answer

    def _pages(self, url: str, key: str, grants: Grants) -> Iterator[str]:
        for _ in range(MAX_PAGES):
            response, body = self.send("GET", url, wanted=(200, 404), grants=grants)
            if response.status_code == 404:
                return
            try:
                names = json_text.document(body).get(key) or []
                valid = all(_NAME.fullmatch(name) for name in names)
            except (ValueError, TypeError, AttributeError):
                valid = False
            if not valid:
                raise RegistryError(
                    f"{self.url} returned no list of {key}",
                    details=f"GET {url.partition('?')[0]}: {body[:100].decode(errors='replace')}",
                    fix="check that this is a registry and not a web server or a proxy",
                )
            yield from names
            if "next" not in response.links:  # RFC 8288
                return
            url = self.resolve(response, response.links["next"]["url"])
        raise RegistryError(f"a list of {self.url} does not end", details=f"{MAX_PAGES} pages and more of {key}")


def _chunks(response: requests.Response) -> Iterator[bytes]:
    try:
        yield from response.iter_content(digests.CHUNK)
    except (requests.RequestException, ValueError) as error:
        brief = f"{response.url.partition('?')[0]} broke off"
        raise RegistryError(brief, details=str(error), transient=True) from error


@dataclass(frozen=True)
class InRegistry:
    """The Origin of an image whose blobs are all in one repository of a registry."""

    client: Client
    repository: str

    def open(self, blob: Descriptor) -> AbstractContextManager[Iterator[bytes]]:
        return self.client.blob(self.repository, blob.digest)


@dataclass(frozen=True)
class _Sized:
    """An iterator of known size, so that requests sends a Content-Length and no chunks."""

    chunks: Iterator[bytes]
    size: int

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[bytes]:
        return self.chunks


@dataclass
class Clients:
    """Makes clients that live as long as `stack`, one for each address. Safe for use by several threads."""

    stack: contextlib.ExitStack
    keychain: Keychain | None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _clients: dict[Address, Client] = field(default_factory=dict)

    def at(self, url: str) -> Client:
        address = addresses.parse(url)
        with self._lock:
            if address not in self._clients:
                self._clients[address] = self.stack.enter_context(Client(str(address), keychain=self.keychain))
            return self._clients[address]
