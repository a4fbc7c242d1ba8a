"""Puts a component's image together from its programs and from files of a Debian tree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from sandbox.bundle.builder import archive, debian, layer
from sandbox.bundle.builder.layer import Entry
from sandbox.bundle.recipe import Image, Recipe, recipes
from sandbox.bundle.store import Store

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MERGED = ("bin", "sbin", "lib", "lib64")


def build(recipe: Recipe, image: Image, store: Store, folder: Path) -> None:
    """Write `folder`/image.tar from the programs in `folder`/bin and the tree that the recipe names."""
    content = folder / "layer.tar"
    diff_id = layer.write(_entries(recipe, image, store, folder), content)
    config = {"Env": [PATH], "Entrypoint": list(image.entrypoint) or None, "Cmd": list(image.command) or None}
    archive.write(
        folder / "image.tar",
        layer=content,
        diff_id=diff_id,
        names=[recipe.reference, *image.names],
        config={key: value for key, value in config.items() if value is not None},
        labels={"dev.sandbox.component": recipe.name},
    )
    content.unlink()


def _entries(recipe: Recipe, image: Image, store: Store, folder: Path) -> Iterator[Entry]:
    for path, program in image.programs.items():
        yield Entry(_name(path), source=folder / "bin" / program, executable=True)
    for path, file in image.files.items():
        yield Entry(_name(path), source=recipe.folder / file)
    for path, target in image.links.items():
        yield Entry(_name(path), target=target)
    for path in image.folders:
        yield Entry(_name(path))
    if image.tree is not None:
        for merged in MERGED:
            yield Entry(PurePosixPath(merged), target=f"usr/{merged}")
            yield Entry(PurePosixPath("usr") / merged)
        root = store.tree(recipes()[image.tree])
        for source in debian.closure(root, image.copies):
            yield Entry(PurePosixPath(source.relative_to(root)), source=source)


def _name(path: str) -> PurePosixPath:
    """The tar's name for an absolute path; /bin and the like are links into /usr, as in every Debian since 12."""
    name = PurePosixPath(path).relative_to("/")
    return PurePosixPath("usr") / name if name.parts[0] in MERGED else name
