"""Uploads blobs to one registry: mounted, in one body, or in pieces where one body is not accepted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from urllib.parse import quote

from sandbox.errors import SandboxError
from sandbox.oci import chunked_upload
from sandbox.oci import digest as digests
from sandbox.oci.chunked_upload import OCTETS, ChunkedUpload
from sandbox.oci.manifest import Descriptor
from sandbox.oci.oci_errors import RegistryError, contradicted
from sandbox.oci.transport import TRIES_WHEN_BUSY, Answer, Transport, tries

OpenBlob = Callable[[], AbstractContextManager[Iterator[bytes]]]
PIECES_WANTED = (405, 411, 413, 501)
_SPOILT = ("BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID", "DIGEST_INVALID")
"""What a registry says about an upload it forgot or mixed up; our bytes were checked, so they are not to blame."""


class Uploads:
    """The uploads of one registry, which it names by URLs that must be used unchanged."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._in_pieces = False

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

    def put_blob(self, repository: str, blob: Descriptor, chunks: Iterable[bytes], *, begun: str | None = None) -> None:
        """Send a blob once: POST, then one PUT with its Content-Length. Raises DigestMismatch for other bytes.

        The registry keeps nothing of one that fails.
        """
        upload = begun or self.begin(repository)
        try:
            self._put(upload, blob, chunks)
        except SandboxError:
            self._abandon(upload)
            raise

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

    def patch(self, upload: str, chunks: Iterable[bytes]) -> str:
        """Stream bytes of unknown length into an upload; return the URL to continue with."""
        return self._location(
            self._transport.send(
                "PATCH",
                upload,
                wanted=(201, 202, 204),
                repeat=False,
                headers=OCTETS,
                data=iter(chunks),
            )
        )

    def finish(self, upload: str, digest: str) -> None:
        """Close a streamed upload under the digest its bytes turned out to have."""
        answer = self._transport.send("PUT", closing(upload, digest), wanted=(201,), repeat=False, headers=OCTETS)
        self._confirm(answer, digest)

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
        a failure that may pass, the registry is asked first whether it has the blob after all, then how much of it: the
        rest is sent in pieces, or all of it again in one body. Registries that accept no large bodies get pieces from
        then on.
        """
        pieces: ChunkedUpload | None = None
        for attempt in range(TRIES_WHEN_BUSY):
            url = pieces.url if pieces else begun or self.begin(repository)
            begun = None
            try:
                if self._in_pieces and pieces is None:
                    pieces = ChunkedUpload(self._transport, url, blob)
                with open_blob() as chunks:
                    if pieces:
                        pieces.send(chunks)
                        self.finish(pieces.url, blob.digest)
                    else:
                        self._put(url, blob, chunks)
            except RegistryError as error:
                if attempt + 1 >= tries(error.status) or not self._may_help(error, pieces):
                    self._abandon(pieces.url if pieces else url)
                    raise
                if error.status == 401 and pieces is None:
                    begun = url  # the token expired before the body began; there is another by now
                    continue
                if error.transient:
                    self._transport.wait(attempt)
                    if self._has(repository, blob.digest):
                        return
                pieces = self._rest(pieces, url, blob, spoilt=_spoilt(error))
            except SandboxError:
                self._abandon(pieces.url if pieces else url)
                raise
            else:
                return

    def _may_help(self, error: RegistryError, pieces: ChunkedUpload | None) -> bool:
        """Tell whether another try, or another way, may succeed after `error`."""
        if error.status in PIECES_WANTED and pieces is None:
            self._in_pieces = True
            return True
        return error.transient or error.status == 416 or _spoilt(error)

    def _rest(self, pieces: ChunkedUpload | None, url: str, blob: Descriptor, *, spoilt: bool) -> ChunkedUpload | None:
        """Return what is left of a broken upload to continue with; None when starting again costs as little."""
        rest = pieces or ChunkedUpload(self._transport, url, blob)
        if not spoilt and (blob.size > chunked_upload.PIECE or self._in_pieces):
            with contextlib.suppress(RegistryError):
                if rest.ask() and (rest.offset or self._in_pieces):
                    return rest
        self._abandon(rest.url)
        return None

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


def _spoilt(error: RegistryError) -> bool:
    return any(code in _SPOILT for code in error.codes)


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
    """Return the URL that closes an upload: its own, unchanged, with the digest added."""
    return f"{upload}{'&' if '?' in upload else '?'}digest={quote(digest, safe='')}"
