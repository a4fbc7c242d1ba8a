"""What a lock promises about an image, and the refusal to push another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.errors import SandboxError
from sandbox.images.target import Target

FIX = "bring back what the lock names, or push without --locked, which renews it"


@dataclass(frozen=True)
class Promise:
    """The digest of what an image is taken from, and the digest it then has in the registry."""

    source: str
    digest: str


class Drift(SandboxError):
    """Images are not what the lock says; nothing was pushed. `details` names each."""

    id = "lock-drift"

    def __init__(self, lines: Mapping[str, str]) -> None:
        count = f"{len(lines)} images are" if len(lines) > 1 else "1 image is"
        details = "\n".join(f"{target}: {line}" for target, line in lines.items())
        super().__init__(f"{count} not what the lock says", details=details, fix=FIX)


def broken(promises: Mapping[Target, Promise], found: Mapping[Target, Promise]) -> dict[str, str]:
    """Return the images of `found` that break their promise, each with what was promised and what is.

    An empty digest is not known yet. An image whose digest in the registry is the promised one keeps its promise,
    wherever it was taken from: an engine with the containerd store gives other ids than one with the classic store.
    """
    lines: dict[str, str] = {}
    for target, promise in promises.items():
        now = found.get(target)
        if now is None or now.digest == promise.digest or now.source == promise.digest:
            continue
        if now.source != promise.source:
            lines[str(target)] = f"the lock was made from {promise.source}, its source is now {now.source or 'absent'}"
        elif now.digest:
            lines[str(target)] = f"the lock says {promise.digest}, it would become {now.digest}"
    return lines
