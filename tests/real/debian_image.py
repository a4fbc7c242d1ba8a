"""Servers that others wrote, as images made of Debian packages alone: no image registry need be reachable."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sandbox.app import context
from sandbox.bundle.builder import debian, image_archive
from sandbox.bundle.builder.image_archive import Entry
from sandbox.bundle.recipe import DebianTree

SUITE = "trixie"
USER = 999  # PostgreSQL does not run as root, and looks its user up
USERS = f"root:x:0:0::/:/bin/sh\nserver:x:{USER}:{USER}::/tmp:/bin/sh\n"


@dataclass(frozen=True)
class DebianImage:
    """An image of one layer with `paths` of `packages`, the libraries that they load, and busybox as its shell."""

    name: str
    packages: tuple[str, ...]
    paths: tuple[str, ...]

    def archive(self) -> Path:
        """Return a file with it, as `docker save` would write it; it is made once and kept in the user's cache."""
        made = hashlib.sha256(repr(self).encode()).hexdigest()[:12]
        kept = context.home().bundle.parent / "test-images" / f"{self.name}-{made}.tar"
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
                self._write(Path(folder)).rename(kept)
        return kept

    def _write(self, folder: Path) -> Path:
        place = folder / self.name
        place.mkdir()
        root = place / "tree"
        packages = (*self.packages, "busybox")
        tree = DebianTree(suite=SUITE, refreshed="", packages=packages, configured=False)
        debian.make_tree(tree, root, lambda line: None)
        (place / "passwd").write_text(USERS)
        layer, archive = place / "layer.tar", folder / f"{self.name}.tar"
        image_archive.write_layer(self._entries(root, place / "passwd"), layer)
        config = {"Env": [image_archive.PATH], "Cmd": ["/bin/sh"], "Labels": {}}
        names = [f"{self.name}:1"]
        image_archive.write_archive(archive, layer=layer, names=names, config=config)
        return archive

    def _entries(self, root: Path, users: Path) -> Iterator[Entry]:
        for merged in image_archive.MERGED:
            yield Entry(name=PurePosixPath(merged), target=f"usr/{merged}")
            yield Entry(name=PurePosixPath("usr") / merged)
        yield Entry(name=PurePosixPath("tmp"))
        yield Entry(name=PurePosixPath("etc/passwd"), source=users)
        yield Entry(name=PurePosixPath("usr/bin/sh"), target="busybox")
        for source in debian.closure(root, (*self.paths, "/usr/bin/busybox")):
            yield Entry(name=PurePosixPath(source.relative_to(root)), source=source)


_PROGRAMS = "/usr/lib/postgresql/17"
POSTGRES = DebianImage(
    "postgres",
    ("postgresql-17", "postgresql-client-17", "tzdata"),
    (
        *(f"{_PROGRAMS}/bin/{name}" for name in ("postgres", "initdb", "psql")),
        *(f"{_PROGRAMS}/lib/{name}.so" for name in ("plpgsql", "dict_snowball")),
        "/usr/share/postgresql/17",
        "/usr/share/zoneinfo/Etc",
    ),
)
MOSQUITTO = DebianImage(
    "mosquitto",
    ("mosquitto", "mosquitto-clients"),
    ("/usr/sbin/mosquitto", "/usr/bin/mosquitto_pub", "/usr/bin/mosquitto_sub"),
)
