"""The OCI Distribution API of one registry, one method for each thing we ask of it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Self
from urllib.parse import quote

from sandbox.registry import digest as digests
from sandbox.registry import manifest as manifests
from sandbox.registry.errors import RegistryError
from sandbox.registry.manifest import Descriptor, Document
from sandbox.registry.transport import TRIES, Answer, Transport, pause

OpenBlob = Callable[[], AbstractContextManager[Iterator[bytes]]]
_ACCEPT = {"Accept": ", ".join(manifests.INDEXES + manifests.MANIFESTS)}
_OCTETS = {"Content-Type": "application/octet-stream"}


class Client:
    """A registry at `url` (`http://localhost:5001`, or `localhost:5001`), usable by several threads at once.

    Every method raises RegistryError. Requests that may be repeated are repeated on broken connections, 5xx and 429.
    """

    def __init__(self, url: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._transport = Transport(url, sleep=sleep)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._transport.close()

    @property
    def url(self) -> str:
        """The base URL, as it was given."""
        return str(self._transport.address)

    def ping(self) -> None:
        """Return when the registry answers `GET /v2/` (distribution-spec, "Determining Support")."""
        self._transport.send("GET", "/v2/", wanted=(200, 401))

    def manifest(self, repository: str, reference: str) -> Document | None:
        """The manifest or index that a tag or digest names, checked against its digest; None when there is none."""
        answer = self._transport.send(
            "GET", f"/v2/{repository}/manifests/{reference}", wanted=(200, 404), headers=_ACCEPT
        )
        if answer.status == 404:
            return None
        document = manifests.document(answer.content, _media_type(answer))
        if digests.is_digest(reference) and reference.startswith("sha256:") and document.digest != reference:
            raise RegistryError(
                f"{self.url} gave other bytes for {repository}@{reference}",
                details=f"they are {document.digest}",
                fix="remove the image from that registry and push it again",
            )
        return document

    def manifest_digest(self, repository: str, reference: str) -> str | None:
        """The digest of what a tag names; None when there is nothing. Costs a HEAD where the registry is complete."""
        answer = self._transport.send(
            "HEAD", f"/v2/{repository}/manifests/{reference}", wanted=(200, 404), headers=_ACCEPT
        )
        if answer.status == 404:
            return None
        known = answer.header("Docker-Content-Digest")
        if digests.is_digest(known):
            return known
        document = self.manifest(repository, reference)
        return document.digest if document else None

    def put_manifest(self, repository: str, reference: str, document: Document) -> None:
        """Store `document` under a tag or its digest; the registry refuses it while something it names is missing."""
        self._transport.send(
            "PUT",
            f"/v2/{repository}/manifests/{reference}",
            wanted=(200, 201, 202),
            headers={"Content-Type": document.media_type},
            data=document.data,
        )

    def blob_size(self, repository: str, digest: str) -> int | None:
        """The size in bytes of a blob in `repository`; None when it is not there, or not in this repository."""
        answer = self._transport.send("HEAD", f"/v2/{repository}/blobs/{digest}", wanted=(200, 404))
        return None if answer.status == 404 else int(answer.header("Content-Length") or 0)

    @contextlib.contextmanager
    def blob(self, repository: str, digest: str) -> Iterator[Iterator[bytes]]:
        """The bytes of a blob, in chunks, not checked."""
        url = f"/v2/{repository}/blobs/{digest}"
        answer = self._transport.send("GET", url, wanted=(200,), stream=True)
        try:
            yield answer.chunks()
        finally:
            answer.close()

    def mount(self, repository: str, digest: str, source: str) -> str | None:
        """Make the blob of the repository `source` one of `repository` without sending it.

        None when that is done; otherwise the URL of the upload the registry has begun instead (answer 202), which
        must be used or cancelled.
        """
        answer = self._transport.send(
            "POST",
            f"/v2/{repository}/blobs/uploads/?mount={quote(digest, safe='')}&from={quote(source, safe='')}",
            wanted=(201, 202),
        )
        return None if answer.status == 201 else self._location(answer)

    def upload(self, repository: str, blob: Descriptor, open_blob: OpenBlob, *, begun: str | None = None) -> None:
        """Send a blob whose digest and size are known, in one request; a broken try starts again from `open_blob`.

        `begun` is an upload that `mount` has begun. The bytes are checked on the way.
        """
        for attempt in range(TRIES):
            try:
                with open_blob() as chunks:
                    self.put_blob(repository, blob, chunks, begun=begun)
                    return
            except RegistryError as error:
                if not error.transient or attempt == TRIES - 1:
                    raise
                begun = None
                self._transport.sleep(pause(attempt, None))

    def put_blob(self, repository: str, blob: Descriptor, chunks: Iterable[bytes], *, begun: str | None = None) -> None:
        """Send a blob once: POST, then one PUT with its Content-Length. Raises DigestMismatch for other bytes."""
        location = begun or self.begin(repository)
        body = _Sized(digests.verified(chunks, blob.digest, blob.size), blob.size)
        self._transport.send(
            "PUT",
            _closing(location, blob.digest),
            wanted=(201,),
            repeat=False,
            headers=_OCTETS,
            data=body if blob.size else b"".join(body),
        )

    def begin(self, repository: str) -> str:
        """Begin an upload; its URL must be passed on as it is."""
        return self._location(
            self._transport.send("POST", f"/v2/{repository}/blobs/uploads/", wanted=(202,), headers=_OCTETS)
        )

    def patch(self, upload: str, chunks: Iterable[bytes]) -> str:
        """Stream bytes of unknown length into an upload; gives the URL to go on with."""
        return self._location(
            self._transport.send(
                "PATCH", upload, wanted=(201, 202, 204), repeat=False, headers=_OCTETS, data=iter(chunks)
            )
        )

    def finish(self, upload: str, digest: str) -> None:
        """Close a streamed upload under the digest its bytes turned out to have."""
        self._transport.send("PUT", _closing(upload, digest), wanted=(201,), repeat=False, headers=_OCTETS)

    def cancel(self, upload: str) -> None:
        """Give an upload up; one the registry has forgotten is fine too."""
        self._transport.send("DELETE", upload, wanted=(200, 202, 204, 404))

    def tags(self, repository: str) -> tuple[str, ...]:
        """All tags of a repository, none when it does not exist."""
        return tuple(self._pages(f"/v2/{repository}/tags/list", "tags"))

    def catalog(self) -> tuple[str, ...]:
        """All repositories."""
        return tuple(self._pages("/v2/_catalog", "repositories"))

    def _pages(self, url: str, key: str) -> Iterator[str]:
        while url:
            answer = self._transport.send("GET", url, wanted=(200, 404))
            if answer.status == 404:
                return
            yield from json.loads(answer.content).get(key) or ()
            url = answer.following

    def _location(self, answer: Answer) -> str:
        location = answer.header("Location")
        if not location:
            raise RegistryError(
                f"{self.url} does not say where to send an upload",
                details=f"status {answer.status} without a Location header",
                fix="check that this is a registry and not a web server or a proxy",
            )
        return answer.resolve(location)


class _Sized:
    """An iterator whose number of bytes is known, so that requests sends a Content-Length and no chunks."""

    def __init__(self, chunks: Iterator[bytes], size: int) -> None:
        self._chunks = chunks
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks


def _closing(upload: str, digest: str) -> str:
    return f"{upload}{'&' if '?' in upload else '?'}digest={quote(digest, safe='')}"


def _media_type(answer: Answer) -> str:
    return answer.header("Content-Type").partition(";")[0].strip()
