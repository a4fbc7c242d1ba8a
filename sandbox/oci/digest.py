"""Digests of exact bytes: the names of everything a registry stores, checked while the bytes go by."""

import hashlib
import re
from collections.abc import Iterable, Iterator

from sandbox.errors import SandboxError

# CNCF distribution takes what is named by sha512, but stores it by sha256, and its garbage collection deletes it.
_DIGEST = re.compile("sha256:[0-9a-f]{64}")
CHUNK = 1 << 20


class DigestMismatch(SandboxError):
    id = "digest-mismatch"


class Measured:
    """Passes `chunks` on, once; `digest` is the sha256 digest of those that have passed."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self._measure = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._measure.update(chunk)
            yield chunk

    @property
    def digest(self) -> str:
        return f"sha256:{self._measure.hexdigest()}"


def is_digest(text: str) -> bool:
    return _DIGEST.fullmatch(text) is not None


def checked(text: str) -> str:
    """Return a digest as it is, as a validator of a model does. Raises ValueError for any other text."""
    if not is_digest(text):
        raise ValueError(f"{text!r} is not a digest by sha256")
    return text


def of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def verified(chunks: Iterable[bytes], digest: str, size: int) -> Iterator[bytes]:
    """Yield `chunks` and raise DigestMismatch *before* the last one when they are not the `size` bytes of `digest`.

    The last bytes are held back so that no reader ever has a complete blob with the wrong content.
    """
    measured, seen = Measured(chunks), 0
    for chunk in measured:
        seen += len(chunk)
        if seen > size or (seen == size and measured.digest != digest):
            break
        yield chunk
    if seen != size:
        raise DigestMismatch(f"{digest} is not whole", details=f"expected {size} bytes, the source gave {seen}")
    if measured.digest != digest:
        raise DigestMismatch(f"{digest} is damaged at its source", details=f"its bytes are {measured.digest}")
