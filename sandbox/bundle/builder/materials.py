"""What a component was made of, Go modules and Debian packages with their licences, for the bundle's bill of materials.

It is written beside the component when that is built, where Go and the module cache are; whoever has only loaded it
has it from there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from sandbox.bundle.builder import debian, licences, toolchain
from sandbox.bundle.recipe import Recipe, recipes
from sandbox.bundle.store import Store
from sandbox.errors import SandboxError
from sandbox.system import process

FILE = "materials.json"
_LICENCE_FILES = ("LICENSE*", "LICENCE*", "COPYING*", "License*", "license*", "UNLICENSE*")


@dataclass(frozen=True, order=True)
class Material:
    """One module or package; `kind` is its type as a package URL has it (purl-spec)."""

    kind: Literal["golang", "deb"]
    name: str
    version: str
    licences: tuple[str, ...] = ()


def of(recipe: Recipe, store: Store) -> tuple[Material, ...]:
    """The materials of a component that is in `store`, found out and written down when that was not done before."""
    folder = store.folder(recipe)
    return _read(folder) or note(recipe, store, folder)


def note(recipe: Recipe, store: Store, folder: Path) -> tuple[Material, ...]:
    """Find out what the component in `folder` was made of, and write it there. Raises SandboxError."""
    found = tuple(sorted(set(_found(recipe, store, folder))))
    folder.joinpath(FILE).write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n", encoding="utf-8")
    return found


def _read(folder: Path) -> tuple[Material, ...]:
    path = folder / FILE
    if not path.exists():
        return ()
    return tuple(
        Material(**{**one, "licences": tuple(one["licences"])}) for one in json.loads(path.read_text(encoding="utf-8"))
    )


def _found(recipe: Recipe, store: Store, folder: Path) -> Iterator[Material]:
    if recipe.go:
        yield from _modules(toolchain.go(store.root), sorted(folder.joinpath("bin").iterdir()))
    if recipe.files:
        yield from _module_of(toolchain.go(store.root), recipe, recipe.files.module)
    if recipe.debian:
        yield from _packages(folder / "tree", folder / debian.COPYRIGHTS)
    if recipe.image and recipe.image.tree:
        tree = recipes()[recipe.image.tree]
        if not store.has(tree):
            raise SandboxError(
                f"what {recipe.name} was made of is not known",
                details=f"the Debian packages that it came from ({tree.name}) are not in the cache",
                fix=f"sandbox bundle build {tree.name}",
                id="no-bundle",
            )
        root = store.tree(tree)
        files = {"/" + str(path.relative_to(root)) for path in debian.closure(root, recipe.image.copies)}
        yield from _packages(root, store.folder(tree) / debian.COPYRIGHTS, files)
    if recipe.node:
        for needed in recipe.needs:
            yield from of(recipes()[needed], store)


def _modules(go: Path, programs: Iterable[Path]) -> Iterator[Material]:
    """The modules linked into Go programs, from what the linker wrote into them (`go version -m`)."""
    cache = Path(process.run([go, "env", "GOMODCACHE"], timeout=30).strip())
    listing = process.run([go, "version", "-m", *programs], timeout=120)
    for version in set(re.findall(r": go([0-9.]+)", listing)):
        yield Material("golang", "stdlib", version, ("BSD-3-Clause",))
    lines = [line.split() for line in listing.splitlines()]
    for line, following in zip(lines, [*lines[1:], []], strict=True):
        if line[:1] == ["dep"]:
            _, name, version, *_ = following if following[:1] == ["=>"] else line
            yield Material("golang", name, version, _licence(cache, name, version))


def _module_of(go: Path, recipe: Recipe, module: str) -> Iterator[Material]:
    cache = Path(process.run([go, "env", "GOMODCACHE"], timeout=30).strip())
    found = re.search(rf"{re.escape(module)} (v\S+)", recipe.folder.joinpath("go.mod").read_text(encoding="utf-8"))
    version = found[1] if found else recipe.version
    yield Material("golang", module, version, _licence(cache, module, version))


def _licence(cache: Path, module: str, version: str) -> tuple[str, ...]:
    """The licences of a module in Go's cache, whose folders have `!x` for `X` (golang.org/ref/mod#module-cache)."""
    folder = cache / re.sub("[A-Z]", lambda found: "!" + found[0].lower(), f"{module}@{version}")
    files = {path for pattern in _LICENCE_FILES for path in folder.glob(pattern) if path.is_file()}
    found = {licences.recognise(path.read_text(errors="replace", encoding="utf-8")) for path in files}
    return tuple(sorted(one for one in found if one))


def _packages(root: Path, copyrights: Path, files: set[str] | None = None) -> Iterator[Material]:
    """The packages of a Debian tree; with `files`, those that have one of them."""
    for stanza in root.joinpath(debian.DATABASE, "status").read_text(encoding="utf-8").split("\n\n"):
        fields = _fields(stanza)
        if not fields or (files is not None and files.isdisjoint(_files(root, fields))):
            continue
        copyright = copyrights / fields["Package"]
        stated = (
            licences.of_debian(copyright.read_text(errors="replace", encoding="utf-8")) if copyright.exists() else ()
        )
        yield Material("deb", fields["Package"], fields["Version"], stated)


def _fields(stanza: str) -> Mapping[str, str]:
    return dict(re.findall(r"^(Package|Version|Architecture): (.+)$", stanza, re.MULTILINE))


def _files(root: Path, fields: Mapping[str, str]) -> Iterator[str]:
    """A package's paths as they are in the tree, where /bin and the like are links into /usr."""
    info = root / debian.DATABASE / "info"
    for name in (fields["Package"], f"{fields['Package']}:{fields['Architecture']}"):
        listing = info / f"{name}.list"
        if listing.exists():
            for path in listing.read_text(encoding="utf-8").splitlines():
                yield path
                yield f"/usr{path}"
