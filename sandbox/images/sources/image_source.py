"""Images as the Docker Engine describes them, and how a push may read their layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sandbox.errors import SandboxError
from sandbox.oci.reference import Target


@dataclass(frozen=True)
class Inspected:
    """The engine's description of an image: `content` is the answer of `GET /images/{name}`.

    `id` is the digest of the configuration on an engine with its classic store, of a manifest or an index on one with
    the containerd store (`is_document`). `diff_ids` are the digests of the uncompressed layers, on either.
    """

    target: Target
    name: str
    content: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.content["Id"])

    @property
    def diff_ids(self) -> tuple[str, ...]:
        return tuple((self.content.get("RootFS") or {}).get("Layers") or ())

    @property
    def is_document(self) -> bool:
        return bool(self.content.get("Descriptor"))


class Unreadable(SandboxError):
    """The engine's own files do not give a layer; its `save` may."""

    def __init__(self, brief: str, *, details: str = "") -> None:
        super().__init__(brief, details=details, fix="push again, or write `daemon: save` at the top of images.yaml")


class Files(Protocol):
    """Regular files below folders of the engine. Names are relative to `folder`; every method raises Unreadable."""

    def sizes(self, folder: Path, names: Sequence[str]) -> Mapping[str, int]:
        pass

    def read(
        self, folder: Path, names: Sequence[bytes], sizes: Sequence[int]
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Yield the bytes of all files one after another, of each as many as `sizes` says."""


# Makes folders of the engine readable, and only those.
Opening = Callable[[Sequence[Path]], AbstractContextManager[Files]]


@dataclass(frozen=True, kw_only=True)
class EngineAccess:
    """How a push gets at images of the Docker Engine.

    With `reading`, layers come from the engine's own folders, by a `container` where this user may not read them; the
    engine saves what these do not give. In the folder `spool` layers are compressed, and images saved.
    """

    reading: bool = True
    container: Opening | None = None
    spool: Path | None = None
    buildx: Path | None = None
