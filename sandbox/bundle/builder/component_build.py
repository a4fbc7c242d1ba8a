"""Builds the bundle's components one after another: finished ones are skipped, and an interrupted build continues."""

import shutil
import time
from collections.abc import Mapping, Sequence
from functools import partial

from sandbox.bundle.builder import debian, golang, image_archive, materials, node_image
from sandbox.bundle.recipe import Recipe, recipes
from sandbox.bundle.store import Store
from sandbox.errors import SandboxError, UsageError
from sandbox.report import Reporter
from sandbox.system.process import ToolFailed

RETRY = "run `sandbox bundle build` again: finished components are kept"


class BuildFailed(SandboxError):
    id = "bundle-build-failed"


def build(store: Store, report: Reporter, *, only: Sequence[str] = ()) -> None:
    """Build every component that `store` lacks, each after those it needs.

    `only` limits this to the named components and those they need; other versions are built only when they are named.
    Raises UsageError for an unknown name, MissingTool before the first build if a tool is missing, and BuildFailed for
    the first failure.
    """
    missing = []
    for recipe in _with_needs(only or default()).values():
        if store.has(recipe):
            report.event("unchanged", recipe.name, "built before")
        else:
            missing.append(recipe)
    if any(recipe.debian for recipe in missing):
        debian.require()  # before the other components, which take a quarter of an hour
    if any(recipe.go and recipe.go.cgo for recipe in missing):
        golang.require_c()
    for recipe in missing:
        report.event("began", recipe.name)
        # Go prints nothing while it compiles.
        report.event("progress", recipe.name, f"about {_minutes(recipe.seconds)}")
        try:
            _build(recipe, store, report)
        except (ToolFailed, OSError) as error:
            report.event("failed", recipe.name, error.brief if isinstance(error, ToolFailed) else str(error))
            raise BuildFailed(f"building {recipe.name} failed", details=str(error), fix=RETRY) from error
        except SandboxError as error:
            report.event("failed", recipe.name, error.brief)
            raise


def outlook(store: Store, only: Sequence[str] = ()) -> str:
    missing = {name: recipe.seconds for name, recipe in _with_needs(only or default()).items() if not store.has(recipe)}
    return f"building {', '.join(missing)}: about {_minutes(sum(missing.values()))} on two cores" if missing else ""


def default() -> tuple[str, ...]:
    return tuple(recipe.name for recipe in recipes().values() if not recipe.base)


def _with_needs(names: Sequence[str]) -> Mapping[str, Recipe]:
    if unknown := [name for name in names if name not in recipes()]:
        raise UsageError(f"the bundle has no component '{unknown[0]}'", fix="it has: " + ", ".join(recipes()))
    needed = set(names)
    for name, recipe in reversed([*recipes().items()]):  # each before those it needs
        if name in needed:
            needed.update(recipe.needs)
    return {name: recipe for name, recipe in recipes().items() if name in needed}


def _build(recipe: Recipe, store: Store, report: Reporter) -> None:
    started, on_line = time.monotonic(), partial(report.event, "progress", recipe.name)
    with store.filling(recipe) as folder:
        if recipe.go or recipe.files:
            go, work = golang.toolchain(store.root), folder / "work"
            work.mkdir()
            if recipe.go:
                needed = [recipes()[name] for name in recipe.needs] if recipe.go.libraries else []
                trees = [store.tree(tree) for tree in needed if tree.debian]
                golang.build(recipe, recipe.go, go, work, folder / "bin", on_line, trees=trees)
            if recipe.files:
                golang.take(recipe, recipe.files, go, work, folder / "files")
            shutil.rmtree(work)
        if recipe.debian:
            debian.make_tree(recipe.debian, folder / "tree", on_line)
        if recipe.image:
            image_archive.build_image(recipe, recipe.image, store, folder)
        if recipe.node:
            node_image.build(recipe, store, folder, on_line)
        materials.note(recipe, store, folder)
    size = ", ".join(recipe.go.programs) if recipe.go else ""
    if recipe.image or recipe.node:
        size = f"image of {store.image(recipe).stat().st_size / 1e6:.0f} MB"
    report.event("finished", recipe.name, size, time.monotonic() - started)


def _minutes(seconds: int) -> str:
    return f"{seconds} s" if seconds < 90 else f"{seconds / 60:.0f} min"
