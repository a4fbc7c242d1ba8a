"""What every source of images can do, and the little of the Docker Engine that two of them need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
        """The engine's description of an image (`GET /images/{name}/json`), None when it has none of that name."""

    def save(self, names: Sequence[str]) -> Iterator[bytes]:
        """One tar with all these images (`GET /images/get`), in chunks of any size; a generator may be closed early."""

    def build(self, context: Path, tag: str) -> None:
        """Build the Dockerfile of a folder and name the image `tag`."""

    def root(self) -> Path:
        """The folder of its machine where it keeps everything."""
