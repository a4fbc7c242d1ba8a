"""Extracts the output of containers and commands from the frames in which the engine sends it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def said(frames: bytes) -> bytes:
    """Return the content of the frames of a stream (Engine API, "Attach to a container": stream format)."""
    text, at = bytearray(), 0
    while at < len(frames):
        size = int.from_bytes(frames[at + 4 : at + 8], "big")
        text += frames[at + 8 : at + 8 + size]
        at += 8 + size
    return bytes(text)


def unframed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the content of the frames of a stream, as it comes."""
    rest = b""
    for piece in pieces:
        rest += piece
        while len(rest) >= 8 and len(rest) >= (end := 8 + int.from_bytes(rest[4:8], "big")):
            yield rest[8:end]
            rest = rest[end:]
