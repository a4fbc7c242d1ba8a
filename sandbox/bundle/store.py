"""The bundle's folder in the user's cache: one finished component per folder, named by what it was made from."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.bundle.recipe import Recipe


@dataclass(frozen=True)
class Store:
    """Finished components; a folder is there whole or not at all."""

    root: Path

    def folder(self, recipe: Recipe) -> Path:
        """Where the component is, once it is built."""
        return self.root / f"{recipe.name}-{recipe.digest}"

    def has(self, recipe: Recipe) -> bool:
        """Whether the component is here with all that its recipe promises."""
        parts: dict[str, object] = {"image.tar": recipe.image or recipe.node, "bin": recipe.go, "files": recipe.files}
        parts |= dict.fromkeys(("tree", "copyrights"), recipe.debian)
        folder = self.folder(recipe)
        return folder.is_dir() and all(folder.joinpath(part).exists() for part, wanted in parts.items() if wanted)

    def program(self, recipe: Recipe, name: str) -> Path:
        """One of the component's programs."""
        return self.folder(recipe) / "bin" / name

    def files(self, recipe: Recipe) -> Path:
        """The folder of the files that the component took from a Go module."""
        return self.folder(recipe) / "files"

    def tree(self, recipe: Recipe) -> Path:
        """The component's Debian tree."""
        return self.folder(recipe) / "tree"

    def image(self, recipe: Recipe) -> Path:
        """The component's image, as one archive."""
        return self.folder(recipe) / "image.tar"

    @contextmanager
    def filling(self, recipe: Recipe) -> Iterator[Path]:
        """A folder to build the component in, which takes its final name only when the block ends well.

        Older builds of the same component are dropped then, so that the cache does not grow with every change.
        """
        partial = self.root / f".{recipe.name}.partial"
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
        yield partial
        self.place(partial, self.folder(recipe))

    def place(self, partial: Path, folder: Path) -> None:
        """Give the finished folder `partial` its final name, in place of older builds of the same component."""
        for old in folder.parent.glob(glob.escape(folder.name.rpartition("-")[0]) + "-" + "[0-9a-f]" * 12):
            shutil.rmtree(old)
        partial.rename(folder)
