"""Uploads blobs to one registry: mounted, in one body, or in pieces where one body is not accepted.

The pieces continue where the registry stopped (Distribution specification, "Pushing a blob in chunks" and "Resuming an
upload").
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from urllib.parse import quote

from sandbox.errors import SandboxError
from sandbox.oci import digest as digests
from sandbox.oci.manifest import Descriptor
from sandbox.oci.oci_errors import RegistryError, contradicted
from sandbox.oci.throttle import Lane, lane
from sandbox.oci.transport import TRIES_WHEN_BUSY, Answer, Transport, tries

OpenBlob = Callable[[], AbstractContextManager[Iterator[bytes]]]
OCTETS = {"Content-Type": "application/octet-stream"}
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
            lane=lane(blob.size),
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
                lane=Lane.LARGE,
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
        if not spoilt and (blob.size > PIECE or self._in_pieces):
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


PIECE = 5 << 20
SMALLEST_PIECE = 64 << 10
_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,18})")


class ChunkedUpload:
    """An upload that the registry has begun at `url`; `offset` bytes of it are there for certain.

    It can be given the blob several times, from its beginning, when the source fails too: what the registry has is
    skipped. Only one piece is held in memory.
    """

    def __init__(self, transport: Transport, url: str, blob: Descriptor) -> None:
        self._transport = transport
        self._blob = blob
        self._piece = PIECE
        self.url = url
        self.offset = 0

    def ask(self) -> bool:
        """Ask the registry how much it has; return False if it cannot continue: forgotten, unknown, or too much."""
        answer = self._transport.send("GET", self.url, wanted=(200, 204, 400, 404, 405))
        if answer.status not in (200, 204):
            return False
        self._follow(answer)
        known = _end(answer, 0)
        self.offset = known or 0
        return known is not None and known <= self._blob.size

    def send(self, chunks: Iterable[bytes]) -> None:
        """Send the rest of the blob, whose bytes are `chunks`, without closing the upload.

        Raises DigestMismatch before the end when they are other bytes, RegistryError when the registry keeps refusing.
        """
        buffer, position = bytearray(), 0
        for chunk in digests.verified(chunks, self._blob.digest, self._blob.size):
            known = 0 if buffer else min(max(self.offset - position, 0), len(chunk))
            position += known
            buffer += memoryview(chunk)[known:]
            while len(buffer) >= (size := self._piece):
                self._deliver(bytes(memoryview(buffer)[:size]), position)
                position += size
                del buffer[:size]
        if buffer:
            self._deliver(bytes(buffer), position)

    def _deliver(self, data: bytes, start: int) -> None:
        """Send `data`, the bytes from `start` on, in as many requests as it takes."""
        attempt, end = 0, start + len(data)
        while self.offset != end:
            before = self.offset
            if not start <= before < end:
                raise RegistryError(
                    "upload offset mismatch",
                    details=f"{self._blob.digest}: sent {start} bytes, the registry says {before}",
                    transient=True,
                )
            try:
                self._patch(data[before - start : before - start + self._piece])
            except RegistryError as error:
                self._recover(error, attempt)
            attempt = 0 if self.offset > before else attempt + 1

    def _recover(self, error: RegistryError, attempt: int) -> None:
        """Prepare for another try after `error`, or raise it."""
        if error.status == 413 and self._piece > SMALLEST_PIECE:
            self._piece = max(SMALLEST_PIECE, self._piece // 2)
        elif (error.transient or error.status == 416) and attempt + 1 < tries(error.status):
            self._transport.wait(attempt)
            if not self.ask():
                raise RegistryError(error.brief, details=error.details, fix=error.fix, transient=True) from error
        else:
            raise error

    def _patch(self, part: bytes) -> None:
        end = self.offset + len(part)
        answer = self._transport.send(
            "PATCH",
            self.url,
            wanted=(201, 202, 204),
            repeat=False,
            headers={**OCTETS, "Content-Range": f"{self.offset}-{end - 1}"},
            data=part,
            lane=lane(len(part)),
        )
        self._follow(answer)
        known = _end(answer, end)
        if known == self.offset:
            raise RegistryError("the registry accepted nothing of an upload", details=self._blob.digest, transient=True)
        self.offset = end if known is None else known

    def _follow(self, answer: Answer) -> None:
        if location := answer.header("Location"):
            self.url = answer.resolve(location)


def _end(answer: Answer, expected: int) -> int | None:
    """Return the number of bytes in `Range: 0-<last>`, None when there is no such header.

    An upload of one byte and one of none both have 0-0; unless one is `expected`, it means none.
    """
    found = _RANGE.fullmatch(answer.header("Range").strip())
    if found is None:
        return None
    return 0 if found[1] == "0" and expected != 1 else int(found[1]) + 1
