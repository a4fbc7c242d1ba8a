"""Chooses what a bundle file holds of the cache: all that `up` needs on a machine without network, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from sandbox.bundle import contents as described
from sandbox.bundle.builder import materials, packing, sbom
from sandbox.bundle.contents import Component, Contents
from sandbox.bundle.recipe import Recipe, recipes
from sandbox.bundle.store import Store
from sandbox.bundle.system_images import NEEDED
from sandbox.errors import SandboxError
from sandbox.system import files as safe

# What is only built with is not carried along, nor a program's image that the node has unpacked already.
PARTS = ("image.tar", "bin", "files", materials.FILE)
ONLY_PROGRAMS = ("kubernetes",)  # kubectl


def chosen(store: Store) -> tuple[Recipe, ...]:
    """What a bundle of this cache would hold: all that `up` needs, and what else was built for addons and demos.

    Raises SandboxError when something that `up` needs is not there.
    """
    missing = [name for name in NEEDED if not store.has(recipes()[name])]
    if missing:
        raise SandboxError(
            "the bundle is not complete",
            details="not built: " + ", ".join(missing),
            fix="sandbox bundle build " + " ".join(missing),
            id="no-bundle",
        )
    extra = [one.name for one in recipes().values() if one.image and not one.image.preload and store.has(one)]
    tools = [name for name in ONLY_PROGRAMS if store.folder(recipes()[name]).joinpath("bin").exists()]
    return tuple(recipes()[name] for name in dict.fromkeys((*NEEDED, *extra, *tools)))


def save(
    into: Path,
    store: Store,
    *,
    project: tuple[str, Path] | None = None,
    compress: bool = True,
    epoch: int | None = None,
    on_file: Callable[[str], None] = lambda line: None,
) -> Contents:
    """Write the bundle file `into`; `project` is the name of a sandbox and the folder it was exported to.

    The same cache and folder give the same bytes. Raises SandboxError.
    """
    components = {_component(recipe): recipe for recipe in sorted(chosen(store), key=lambda one: one.name)}
    made_of = {component: materials.of(recipe, store) for component, recipe in components.items()}
    sources = [entry for component, recipe in components.items() for entry in _files(component, recipe, store)]
    if project is not None:
        sources += _below(described.PROJECT, project[1])
    try:
        return packing.write(
            into,
            sources,
            components=components,
            project=project[0] if project else None,
            sbom=lambda listed: sbom.document(made_of, listed, epoch=epoch),
            compress=compress,
            on_file=on_file,
        )
    except OSError as error:
        raise safe.refused(f"{into} cannot be written", error) from error


def _component(recipe: Recipe) -> Component:
    return Component(name=recipe.name, version=recipe.version, digest=recipe.digest)


def _files(component: Component, recipe: Recipe, store: Store) -> Iterator[tuple[str, Path]]:
    for part in PARTS:
        place = store.folder(recipe) / part
        if part == "image.tar" and recipe.name in ONLY_PROGRAMS:
            continue
        if place.is_dir():
            yield from _below(f"{component.path}/{part}", place)
        elif place.exists():
            yield f"{component.path}/{part}", place


def _below(path: str, folder: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            yield f"{path}/{file.relative_to(folder).as_posix()}", file
