"""Uploads blobs to one registry: mounted, or in one body."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from urllib.parse import quote

from sandbox.errors import SandboxError
from sandbox.oci import digest as digests
from sandbox.oci.manifest import Descriptor
from sandbox.oci.oci_errors import RegistryError, contradicted
from sandbox.oci.transport import Answer, Transport, tries

OCTETS = {"Content-Type": "application/octet-stream"}
OpenBlob = Callable[[], AbstractContextManager[Iterator[bytes]]]
_SPOILT = ("BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID", "DIGEST_INVALID")
"""What a registry says about an upload it forgot or mixed up; our bytes were checked, so they are not to blame."""


class Uploads:
    """The uploads of one registry, which it names by URLs that must be used unchanged."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def mount(self, repository: str, digest: str, source: str) -> str | None:
        """Link the blob of the repository `source` into `repository` without sending it.

        Returns None when that is done; otherwise the URL of the upload that the registry has begun instead (answer
        202), which must be used or cancelled.
        """
        answer = self._transport.send(
            "POST",
            f"/v2/{repository}/blobs/uploads/?mount={quote(digest, safe='')}&from={quote(source, safe='')}",
            wanted=(201, 202),
        )
        return None if answer.status == 201 else self._location(answer)

    def begin(self, repository: str) -> str:
        """Begin an upload; its URL must be used unchanged."""
        return self._location(
            self._transport.send("POST", f"/v2/{repository}/blobs/uploads/", wanted=(202,), headers=OCTETS)
        )

    def _put(self, upload: str, blob: Descriptor, chunks: Iterable[bytes]) -> None:
        body = _Sized(digests.verified(chunks, blob.digest, blob.size), blob.size)
        answer = self._transport.send(
            "PUT",
            closing(upload, blob.digest),
            wanted=(201,),
            repeat=False,
            headers=OCTETS,
            data=body if blob.size else b"".join(body),
        )
        self._confirm(answer, blob.digest)

    def cancel(self, upload: str, *, repeat: bool = True) -> None:
        """Cancel an upload; the registry may have forgotten it already.

        Distribution 3 only drops one by a URL that says how much of it there is (416), and gives that when asked.
        """
        answer = self._transport.send("DELETE", upload, wanted=(200, 202, 204, 404, 416), repeat=repeat)
        if answer.status == 416:
            now = self._location(self._transport.send("GET", upload, wanted=(200, 204), repeat=repeat))
            self._transport.send("DELETE", now, wanted=(200, 202, 204, 404), repeat=repeat)

    def upload(self, repository: str, blob: Descriptor, open_blob: OpenBlob, *, begun: str | None = None) -> None:
        """Send a blob whose digest and size are known, in one request; a failed try is repeated from `open_blob`.

        `begun` is an upload that `mount` has begun. The bytes are verified on the way; DigestMismatch for others. After
        a failure that may pass, the registry is asked first whether it has the blob after all.
        """
        for attempt in itertools.count(1):
            url, begun = begun or self.begin(repository), None
            try:
                with open_blob() as chunks:
                    self._put(url, blob, chunks)
            except RegistryError as error:
                again = error.transient or any(code in _SPOILT for code in error.codes)
                if error.status == 401 and again:
                    begun = url  # the token expired before the body began; there is another by now
                else:
                    self._abandon(url)
                if not again or attempt == tries(error.status):
                    raise
                if begun is None:
                    self._transport.wait(attempt - 1)
                    if self._has(repository, blob.digest):
                        return
            except SandboxError:
                self._abandon(url)
                raise
            else:
                return

    def _has(self, repository: str, digest: str) -> bool:
        answer = self._transport.send("HEAD", f"/v2/{repository}/blobs/{digest}", wanted=(200, 404))
        return answer.status == 200

    def _abandon(self, upload: str) -> None:
        """Have the registry drop an upload that will not be finished, if it still answers."""
        with contextlib.suppress(SandboxError):
            self.cancel(upload, repeat=False)

    def _location(self, answer: Answer) -> str:
        location = answer.header("Location")
        if not location:
            raise RegistryError(
                f"{self._transport.address} does not say where to send an upload",
                details=f"status {answer.status} without a Location header",
                fix="check that this is a registry and not a web server or a proxy",
            )
        return answer.resolve(location)

    def _confirm(self, answer: Answer, digest: str, what: str = "a blob it was sent") -> None:
        """Refuse an answer for `what` in which the registry itself gives another digest."""
        said = answer.header("Docker-Content-Digest")
        if digests.contradicts(said, digest):
            raise contradicted(str(self._transport.address), what, said, digest)


class _Sized:
    """An iterator of known size, so that requests sends a Content-Length and no chunks."""

    def __init__(self, chunks: Iterator[bytes], size: int) -> None:
        self._chunks = chunks
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks


def closing(upload: str, digest: str) -> str:
    return f"{upload}{'&' if '?' in upload else '?'}digest={quote(digest, safe='')}"
