"""An upload in pieces, which continue where the registry stopped.

Distribution specification, "Pushing a blob in chunks" and "Resuming an upload".
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from sandbox.oci import digest as digests
from sandbox.oci.manifest import Descriptor
from sandbox.oci.oci_errors import RegistryError
from sandbox.oci.transport import Answer, Transport, tries

OCTETS = {"Content-Type": "application/octet-stream"}
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
