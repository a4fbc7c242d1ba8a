"""Digests of exact bytes: the names of everything a registry stores, checked while the bytes go by."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator

from sandbox.errors import SandboxError

HEX_LENGTHS = {"sha256": 64, "sha512": 128}
PATTERN = "|".join(f"{algorithm}:[0-9a-f]{{{length}}}" for algorithm, length in HEX_LENGTHS.items())
_DIGEST = re.compile(PATTERN)
CHUNK = 1 << 20


class DigestMismatch(SandboxError):
    """The bytes of a blob are not the bytes its digest names."""

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
    """Tell whether `text` is a digest of an algorithm that every registry knows (OCI image-spec, descriptor.md)."""
    return _DIGEST.fullmatch(text) is not None


def checked(text: str) -> str:
    """Return a digest as it is, as a validator of a model does. Raises ValueError for any other text."""
    if not is_digest(text):
        raise ValueError(f"{text!r} is not a digest")
    return text


def of(data: bytes, like: str = "sha256:") -> str:
    """Return the digest of `data`, as `sha256:<hex>`, by the algorithm of the digest `like`."""
    algorithm = like.partition(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def contradicts(said: str, digest: str) -> bool:
    """Tell whether `said` is a digest of the same algorithm as `digest` but of other bytes."""
    return is_digest(said) and said.partition(":")[0] == digest.partition(":")[0] and said != digest


def verified(chunks: Iterable[bytes], digest: str, size: int) -> Iterator[bytes]:
    """Yield `chunks` and raise DigestMismatch *before* the last one when they are not the `size` bytes of `digest`.

    The last bytes are held back so that no reader ever has a complete blob with the wrong content.
    """
    measure = hashlib.new(digest.partition(":")[0])
    seen = 0
    for chunk in chunks:
        measure.update(chunk)
        seen += len(chunk)
        if seen > size:
            break
        if seen == size:
            _require(measure.hexdigest(), digest)
        yield chunk
    if seen != size:
        raise DigestMismatch(f"{digest} is not whole", details=f"expected {size} bytes, the source gave {seen}")
    if not size:
        _require(measure.hexdigest(), digest)


def _require(found: str, digest: str) -> None:
    algorithm, _, wanted = digest.partition(":")
    if found != wanted:
        raise DigestMismatch(f"{digest} is damaged at its source", details=f"its bytes are {algorithm}:{found}")
