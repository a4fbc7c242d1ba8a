"""Finds the materials of components, Go modules and Debian packages, and writes the bill of materials.

The materials are written next to a component when it is built, because a machine that only loads it has neither Go nor
its module cache.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from sandbox import __version__
from sandbox.bundle.builder import debian, golang
from sandbox.bundle.contents import Component, File
from sandbox.bundle.recipe import Recipe, recipes
from sandbox.bundle.store import Store
from sandbox.system import process

FILE = "materials.json"


@dataclass(frozen=True, order=True)
class Material:
    kind: Literal["golang", "deb"]
    name: str
    version: str

    @property
    def purl(self) -> str:
        name = quote(self.name.lower() if self.kind == "golang" else f"debian/{self.name}", safe="/")
        return f"pkg:{self.kind}/{name}@{quote(self.version, safe='')}"


def of(recipe: Recipe, store: Store) -> tuple[Material, ...]:
    text = store.folder(recipe).joinpath(FILE).read_text(encoding="utf-8")
    return tuple(Material(values["kind"], values["name"], values["version"]) for values in json.loads(text))


def note(recipe: Recipe, store: Store, folder: Path) -> None:
    materials: set[Material] = set()
    if recipe.go:
        materials.update(_modules(golang.toolchain(store.root), sorted(folder.joinpath("bin").iterdir())))
    if recipe.files:
        module, go_mod = recipe.files.module, recipe.go_mod.read_text(encoding="utf-8")
        required = re.search(rf"{re.escape(module)} (v\S+)", go_mod)
        version = required[1] if required else recipe.version
        materials.add(Material("golang", module, version))
    if recipe.debian:
        materials.update(_packages(folder / "tree"))
    if recipe.image and recipe.image.tree:
        tree = recipes()[recipe.image.tree]
        root = store.tree(tree)
        files = {f"/{path.relative_to(root)}" for path in debian.closure(root, recipe.image.copies)}
        materials.update(_packages(root, files))
    if recipe.node:
        materials.update(material for needed in recipe.needs for material in of(recipes()[needed], store))
    text = json.dumps([asdict(material) for material in sorted(materials)], indent=1)
    folder.joinpath(FILE).write_text(f"{text}\n", encoding="utf-8")


def _modules(go: Path, programs: Iterable[Path]) -> Iterator[Material]:
    listing = process.run([go, "version", "-m", *programs], timeout=120)
    for version in set(re.findall(r": go([0-9.]+)", listing)):
        yield Material("golang", "stdlib", version)
    lines = [line.split() for line in listing.splitlines()]
    for line, following in zip(lines, [*lines[1:], []], strict=True):
        if line[:1] == ["dep"]:
            _, name, version, *_ = following if following[:1] == ["=>"] else line
            yield Material("golang", name, version)


def _packages(root: Path, files: set[str] | None = None) -> Iterator[Material]:
    database = root / debian.DATABASE
    for stanza in database.joinpath("status").read_text(encoding="utf-8").split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version|Architecture): (.+)$", stanza, re.MULTILINE))
        if not fields:
            continue
        name = fields["Package"]
        listings = [database / "info" / f"{package}.list" for package in (name, f"{name}:{fields['Architecture']}")]
        texts = [listing.read_text(encoding="utf-8") for listing in listings if listing.exists()]
        owned = [path for text in texts for path in text.splitlines()]
        if files is None or not files.isdisjoint([*owned, *(f"/usr{path}" for path in owned)]):
            yield Material("deb", name, fields["Version"])


def bill_of_materials(materials: Mapping[Component, Sequence[Material]], files: Iterable[File]) -> bytes:
    """Return the bill in CycloneDX 1.6 (ECMA-424) JSON; its serial number is a hash of `files`.

    It has no time, so that the same content always gives the same bytes.
    """
    every = sorted(set(chain.from_iterable(materials.values())))
    summed = hashlib.sha256("".join(f"{file.path}\0{file.sha256}\0" for file in files).encode()).hexdigest()
    bundle = {"type": "application", "bom-ref": "sandbox-bundle", "name": "sandbox-bundle", "version": __version__}
    tools = {"components": [{"type": "application", "name": "sandbox", "version": __version__}]}
    applications = (
        {"type": "application", "bom-ref": component.path, "name": component.name, "version": component.version}
        for component in materials
    )
    libraries = (
        {"type": "library", "bom-ref": each.purl, "name": each.name, "version": each.version, "purl": each.purl}
        for each in every
    )
    bill = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, summed)}",
        "version": 1,
        "metadata": {"component": bundle, "tools": tools},
        "components": [*applications, *libraries],
        "dependencies": [
            {"ref": "sandbox-bundle", "dependsOn": [component.path for component in materials]},
            *({"ref": part.path, "dependsOn": [use.purl for use in uses]} for part, uses in materials.items()),
        ],
    }
    return json.dumps(bill, indent=1).encode() + b"\n"
