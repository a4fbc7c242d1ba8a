"""What every source of images can do, and the little of the Docker Engine that two of them need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sandbox.oci.image import Image


class Source(Protocol):
    """One image somewhere else."""

    def image(self) -> Image:
        """Read its documents, not its layers, and check that nothing they name is absent. Raises SandboxError."""


class Daemon(Protocol):
    """The Docker Engine, as far as images are concerned. Every method raises SandboxError."""

    def inspect_image(self, name: str) -> Mapping[str, Any] | None:
        """Return the engine's description of an image (`GET /images/{name}/json`), None if it has none of that name."""

    def save(self, names: Sequence[str]) -> Iterator[bytes]:
        """Yield one tar with all these images (`GET /images/get`), in chunks of any size.

        A generator may be closed early.
        """

    def build(self, context: Path, tag: str, **options: Any) -> None:
        """Build the Dockerfile of a folder by the legacy builder and name the image `tag`.

        `options` are `dockerfile`, `args`, `stage`, `cache_from`, as far as they are given.
        """

    def root(self) -> Path:
        """Return the folder of its machine where it keeps everything."""


@dataclass(frozen=True)
class Job:
    """A blob that a repository lacks: a layer by its chain id, or a configuration, whose `chain` is empty."""

    repository: str
    digest: str
    chain: str = ""


@dataclass(frozen=True)
class Inside:
    """Where a registry listens on the network of its container, on which the engine's machine is `gateway`."""

    network: str
    host: str
    port: int
    gateway: str


class Helper(Protocol):
    """Knows the engine around a registry, and reads its folders where this process may not."""

    def registry(self, port: int) -> Inside:
        """Return where the container listens that has `port` of this machine. Raises SandboxError for no container."""

    def send(self, jobs: Sequence[Job], root: Path, port: int, sent: Callable[[int], None]) -> None:
        """Have the registry on `port` of this machine get blobs from the engine's folder `root`, as far as it can.

        `sent` hears of the bytes on their way. Raises SandboxError when it cannot begin.
        """
