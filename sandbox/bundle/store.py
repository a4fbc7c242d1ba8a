"""The bundle's folder in the user's cache: one folder for each finished component, named by its recipe's digest."""

import glob
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.bundle.recipe import Recipe


@dataclass(frozen=True)
class Store:
    """The finished components in the folder `root`; each is there completely or not at all."""

    root: Path

    def folder(self, recipe: Recipe) -> Path:
        return self.root / f"{recipe.name}-{recipe.digest}"

    def has(self, recipe: Recipe) -> bool:
        parts: dict[str, object] = {"image.tar": recipe.image or recipe.node, "bin": recipe.go, "files": recipe.files}
        parts["tree"] = recipe.debian
        folder = self.folder(recipe)
        return folder.is_dir() and all(folder.joinpath(part).exists() for part, is_made in parts.items() if is_made)

    def program(self, recipe: Recipe, name: str) -> Path:
        return self.folder(recipe) / "bin" / name

    def tool(self, recipe: Recipe, name: str) -> Path | None:
        program = self.program(recipe, name)
        return program if program.exists() else None

    def files(self, recipe: Recipe) -> Path:
        return self.folder(recipe) / "files"

    def tree(self, recipe: Recipe) -> Path:
        return self.folder(recipe) / "tree"

    def image(self, recipe: Recipe) -> Path:
        return self.folder(recipe) / "image.tar"

    @contextmanager
    def filling(self, recipe: Recipe) -> Iterator[Path]:
        """Yield a folder to build the component in; it gets its final name when the block ends without an error.

        Older builds of the same component are deleted then, so that the cache does not grow with every change.
        """
        partial = self.root / f".{recipe.name}.partial"
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
        yield partial
        self.place(partial, self.folder(recipe))

    def place(self, partial: Path, folder: Path) -> None:
        """Rename the finished folder `partial` to `folder`, and delete older builds of the same component."""
        for old in folder.parent.glob(glob.escape(folder.name.rpartition("-")[0]) + "-" + "[0-9a-f]" * 12):
            shutil.rmtree(old)
        partial.rename(folder)
