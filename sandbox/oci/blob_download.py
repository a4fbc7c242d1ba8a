"""Downloads a blob from a registry, continuing where the connection broke (RFC 9110, 14.2), for bad links."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from sandbox.oci.oci_errors import RegistryError
from sandbox.oci.transport import TRIES, Answer, Transport

_RANGE = re.compile(r"bytes (\d{1,18})-")


class Download:
    """The bytes at `url` in chunks; to be iterated over once, and closed. `check` may refuse an answer by its headers.

    After a break it requests the rest, as long as each try brings something. If a registry always sends the whole blob,
    the bytes that came before are skipped. The bytes are not verified. Raises RegistryError.
    """

    def __init__(self, transport: Transport, url: str, check: Callable[[Answer], None]) -> None:
        self._transport = transport
        self._url = url
        self._check = check
        self._seen = 0
        self._answer = self._ask()

    def close(self) -> None:
        """Give the connection back."""
        self._answer.close()

    def __iter__(self) -> Iterator[bytes]:
        attempt = 0
        while True:
            before = self._seen
            try:
                for chunk in self._rest():
                    self._seen += len(chunk)
                    yield chunk
            except RegistryError as error:
                attempt = 0 if self._seen > before else attempt + 1
                if not error.transient or attempt >= TRIES:
                    raise
            else:
                return
            self._answer.close()
            self._transport.wait(attempt)
            self._answer = self._ask()

    def _rest(self) -> Iterator[bytes]:
        """Yield the part of the answer that has not been read before."""
        known = self._seen - self._start()
        for chunk in self._answer.chunks():
            if known < len(chunk):
                yield chunk[known:] if known else chunk
            known = max(0, known - len(chunk))

    def _start(self) -> int:
        """Return the position in the blob where the answer begins."""
        if self._answer.status == 200:
            return 0
        found = _RANGE.match(self._answer.header("Content-Range"))
        if found is None or int(found[1]) > self._seen:
            raise RegistryError(
                f"{self._answer.root} answers with another part of a blob than it was asked for",
                details=f"{self._answer.action}: from byte {self._seen} on, got {found and found[0]}",
                fix="look for a proxy or a cache in between",
            )
        return int(found[1])

    def _ask(self) -> Answer:
        answer = self._send({"Range": f"bytes={self._seen}-"}, (200, 206, 416)) if self._seen else self._send()
        if answer.status == 416:
            answer.close()
            answer = self._send()
        try:
            self._check(answer)
        except BaseException:
            answer.close()
            raise
        return answer

    def _send(self, headers: dict[str, str] | None = None, wanted: tuple[int, ...] = (200,)) -> Answer:
        return self._transport.send("GET", self._url, wanted=wanted, headers=headers, stream=True)
