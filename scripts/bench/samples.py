"""The images of the benchmark: made of this machine's own files, so that they compress as ordinary images do."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from words import attempt, run

MB = 1_000_000
PREFIX = "sandbox-bench"
ONE = f"{PREFIX}/one"
BASE = f"{PREFIX}/base"
FOLDERS = (Path("/usr/lib"), Path("/usr/bin"), Path("/usr/share"))
SMALLEST, LARGEST = 4096, 64 * MB


@dataclass
class Samples:
    """One image of a single layer, and a set of images on a common base with a small layer each. Sizes are in bytes.

    Every image is `NAME:1` in the engine and has a second name under `host`, which `docker push` needs.
    """

    folder: Path
    host: str
    one: int
    shared: int
    own: int
    images: int
    made: list[str] = field(default_factory=list)
    changes: int = 0

    @property
    def set(self) -> list[str]:
        """The names of the set's images."""
        return [f"{PREFIX}/app-{number:02d}" for number in range(self.images)]

    def make(self) -> None:
        """Make all images."""
        for name, size in ((ONE, self.one), (BASE, self.shared)):
            path = self.folder / "layer.tar"
            _write(path, size, name)
            run("docker", "import", path, f"{name}:1")
            path.unlink()
            self._name(name)
        for number in range(self.images):
            self._build(number, f"image {number}")

    def change(self) -> None:
        """Give the first image of the set another layer of its own."""
        self.changes += 1
        self._build(0, f"change {self.changes}")

    def remove(self) -> None:
        """Remove all images, those whose names went to a changed one too."""
        attempt("docker", "image", "rm", "-f", *dict.fromkeys(self.made))

    def _build(self, number: int, label: str) -> None:
        context = self.folder / f"context-{number}"
        context.mkdir(exist_ok=True)
        _write(context / "own.tar", self.own, label, skip=3 * (number + self.changes))
        (context / "Dockerfile").write_text(f"FROM {BASE}:1\nCOPY own.tar /own.tar\n")
        name = self.set[number]
        before = run("docker", "image", "ls", "-q", f"{name}:1").split()
        run("docker", "build", "-q", "-t", f"{name}:1", context)
        self._name(name)
        self.made += before

    def _name(self, name: str) -> None:
        run("docker", "tag", f"{name}:1", f"{self.host}/{name}:1")
        self.made += [f"{name}:1", f"{self.host}/{name}:1"]


def _material(skip: int) -> Iterator[Path]:
    """Files of this machine in an order that is always the same."""
    for folder in FOLDERS:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink() and SMALLEST < path.stat().st_size < LARGEST:
                if skip <= 0:
                    yield path
                skip -= 1


def _write(path: Path, size: int, label: str, *, skip: int = 0) -> None:
    """A tar of about `size` bytes that begins with `label`, so that no two are the same."""
    with tarfile.open(path, "w") as tar:
        first = tarfile.TarInfo("label")
        first.size = len(label.encode())
        tar.addfile(first, io.BytesIO(label.encode()))
        left = size
        for number, source in enumerate(_material(skip)):
            member = tarfile.TarInfo(f"{number:05d}-{source.name}")
            member.size = min(source.stat().st_size, left)
            with source.open("rb") as content:
                tar.addfile(member, content)
            left -= member.size
            if left <= 0:
                return
    raise SystemExit(f"there are {left / MB:.0f} MB of files too few on this machine: make the images smaller")
