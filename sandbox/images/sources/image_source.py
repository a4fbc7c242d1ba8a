"""What every source of images can do, and the little of the Docker Engine that two of them need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, Protocol

from sandbox.fast_dataclass import dataclass
from sandbox.oci.image import Image
from sandbox.oci.reference import Target


class Source(Protocol):
    """One image somewhere else."""

    def image(self) -> Image:
        """Read its documents, not its layers, and check that nothing they name is absent. Raises SandboxError."""


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
        """Give a local image a name, which may be one that it has: then the engine notes that it was given now."""

    def root(self) -> Path:
        """Return the folder of its machine where it keeps everything."""


@dataclass(frozen=True)
class Inspected:
    """What the engine says about an image before anything is saved.

    `id` is the digest of the configuration on an engine with its classic store, of a manifest or an index on one with
    the containerd store, where that `is_document`. `diff_ids` are the digests of the uncompressed layers, on either.
    """

    target: Target
    name: str
    id: str
    diff_ids: tuple[str, ...]
    is_document: bool = False


@dataclass(frozen=True)
class Job:
    """A blob that a repository lacks: a layer by its chain id, or a configuration, whose `chain` is empty.

    That of a `tree` is a manifest or an index in containerd, with all that it names.
    """

    repository: str
    digest: str
    chain: str = ""
    tree: bool = False


@dataclass
class Sent:
    """What a helper says that it did: the blobs it sent, as repository and digest, and the documents it has read."""

    blobs: list[tuple[str, str]] = field(default_factory=list)
    documents: dict[str, bytes] = field(default_factory=dict)


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

    def send(self, jobs: Sequence[Job], folders: Mapping[str, Path], port: int, sent: Callable[[int], None]) -> Sent:
        """Have the registry on `port` of this machine get blobs from the engine's folders, as far as it can.

        `folders` are those that it reads, by their places in its container. `sent` hears of the bytes on their way.
        Raises SandboxError when it cannot begin.
        """

    def read(
        self,
        jobs: Sequence[Job],
        folders: Mapping[str, Path],
        spool: Path | None,
        take: Callable[[str, Iterator[bytes]], None],
    ) -> None:
        """Let `take` have each blob, by its digest, out of the engine's folders, as far as it can.

        It is called in several threads at once, with bytes that may be others, or break off. `spool` is a folder for
        what is needed meanwhile. Raises SandboxError when it cannot begin.
        """
