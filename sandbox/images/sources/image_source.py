"""The parts of the Docker Engine that images need, and how a push may read its images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from sandbox.images.sources.engine_files import Opening
from sandbox.oci.image import MissingBlob
from sandbox.oci.reference import Target


class Daemon(Protocol):
    """The Docker Engine, as far as images are concerned. Every method raises SandboxError."""

    @property
    def is_podman(self) -> bool:
        """Tell whether it is Podman, which has a builder of its own and no BuildKit."""

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

    def tag(self, reference: str, name: str) -> None:
        """Give a local image a name, perhaps one that it has: then the engine records that it was given now."""

    def remove_image(self, name: str) -> bool:
        """Remove a name of an image and, with its last one, the image."""

    def root(self) -> Path:
        """Return the folder where the engine keeps everything, on its own machine."""


@dataclass(frozen=True)
class Inspected:
    """The engine's description of an image before anything is saved.

    `id` is the digest of the configuration on an engine with its classic store, of a manifest or an index on one with
    the containerd store, where that `is_document`. `diff_ids` are the digests of the uncompressed layers, on either.
    """

    target: Target
    name: str
    id: str
    diff_ids: tuple[str, ...]
    is_document: bool = False

    @classmethod
    def of(cls, target: Target, name: str, content: Mapping[str, Any]) -> Self:
        return cls(target, name, str(content["Id"]), layers_of(content), bool(content.get("Descriptor")))

    @property
    def repository(self) -> str:
        return self.target.repository

    def incomplete(self, missing: str) -> MissingBlob:
        return MissingBlob(
            f"the Docker Engine's save of {self.name} is not complete",
            details=f"missing: {missing}",
            fix=f"docker image rm {self.name}, then pull or build it again; or push it `from: registry`",
        )


def layers_of(content: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple((content.get("RootFS") or {}).get("Layers") or ())


@dataclass(frozen=True, kw_only=True)
class EngineAccess:
    """How a push gets at images of the Docker Engine, besides having it save them.

    With `reading`, layers come from the engine's own folders, by a `container` where this user may not read them. In
    the folder `spool` layers are compressed, and images saved. `buildx` is the program for images that are built, where
    the docker CLI does not have it.
    """

    reading: bool = True
    container: Opening | None = None
    spool: Path | None = None
    buildx: Path | None = None
