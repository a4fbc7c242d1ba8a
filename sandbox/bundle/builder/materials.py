"""Finds the materials of components, Go modules and Debian packages with licences, and writes the bill of materials.

The materials are written next to a component when it is built, because a machine that only loads it has neither Go nor
its module cache.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from sandbox import __version__
from sandbox.bundle.builder import debian, golang
from sandbox.bundle.contents import Component, File
from sandbox.bundle.recipe import Recipe, recipes
from sandbox.bundle.store import Store
from sandbox.system import process

FILE = "materials.json"
_LICENCE_FILES = ("LICENSE*", "LICENCE*", "COPYING*", "License*", "license*", "UNLICENSE*")
# Sentences of licences, by identifiers of the SPDX licence list. The first match counts: special licences come before
# those whose text they contain.
_SIGNS: tuple[tuple[str, str], ...] = (
    ("Apache-2.0", r"apache license,? version 2\.0|licensed under the apache license"),
    ("MPL-2.0", r"mozilla public license,? (version|v\.) ?2\.0"),
    ("AGPL-3.0-only", r"gnu affero general public license version 3"),
    ("LGPL-3.0-only", r"gnu lesser general public license version 3"),
    ("LGPL-2.1-only", r"gnu lesser general public license version 2\.1"),
    ("GPL-3.0-only", r"gnu general public license version 3"),
    ("GPL-2.0-only", r"gnu general public license version 2"),
    ("CC0-1.0", r"cc0 1\.0 universal"),
    ("CC-BY-4.0", r"creative commons attribution 4\.0 international"),
    ("Unlicense", r"this is free and unencumbered software released into the public domain"),
    (
        "ISC",
        r"permission to use, copy, modify, and ?(or)? distribute this software for any purpose with or without fee",
    ),
    ("MIT", r"permission is hereby granted, free of charge, to any person obtaining a copy"),
    (
        "BSD-3-Clause",
        r"redistribution and use in source and binary forms.*neither the names? .* (endorse|contributors)",
    ),
    ("BSD-2-Clause", r"redistribution and use in source and binary forms"),
)
SPDX = frozenset(name for name, _ in _SIGNS)
_STATED = re.compile(r"^License:[ \t]*(\S[^\n]*)$", re.MULTILINE)
_COMMON = re.compile(r"/usr/share/common-licenses/([A-Za-z0-9.-]*[A-Za-z0-9])")


@dataclass(frozen=True, order=True)
class Material:
    kind: Literal["golang", "deb"]
    name: str
    version: str
    licences: tuple[str, ...] = ()

    @property
    def purl(self) -> str:
        name = quote(self.name.lower() if self.kind == "golang" else f"debian/{self.name}", safe="/")
        return f"pkg:{self.kind}/{name}@{quote(self.version, safe='')}"


def of(recipe: Recipe, store: Store) -> tuple[Material, ...]:
    text = store.folder(recipe).joinpath(FILE).read_text(encoding="utf-8")
    return tuple(Material(**{**values, "licences": tuple(values["licences"])}) for values in json.loads(text))


def note(recipe: Recipe, store: Store, folder: Path) -> None:
    materials: set[Material] = set()
    if recipe.go:
        materials.update(_modules(golang.toolchain(store.root), sorted(folder.joinpath("bin").iterdir())))
    if recipe.files:
        module, go_mod = recipe.files.module, recipe.go_mod.read_text(encoding="utf-8")
        required = re.search(rf"{re.escape(module)} (v\S+)", go_mod)
        version = required[1] if required else recipe.version
        materials.add(_module(_module_cache(golang.toolchain(store.root)), module, version))
    if recipe.debian:
        materials.update(_packages(folder / "tree", folder / debian.COPYRIGHTS))
    if recipe.image and recipe.image.tree:
        tree = recipes()[recipe.image.tree]
        root = store.tree(tree)
        files = {f"/{path.relative_to(root)}" for path in debian.closure(root, recipe.image.copies)}
        materials.update(_packages(root, store.folder(tree) / debian.COPYRIGHTS, files))
    if recipe.node:
        materials.update(material for needed in recipe.needs for material in of(recipes()[needed], store))
    text = json.dumps([asdict(material) for material in sorted(materials)], indent=1)
    folder.joinpath(FILE).write_text(f"{text}\n", encoding="utf-8")


def _modules(go: Path, programs: Iterable[Path]) -> Iterator[Material]:
    cache = _module_cache(go)
    listing = process.run([go, "version", "-m", *programs], timeout=120)
    for version in set(re.findall(r": go([0-9.]+)", listing)):
        yield Material("golang", "stdlib", version, ("BSD-3-Clause",))
    lines = [line.split() for line in listing.splitlines()]
    for line, following in zip(lines, [*lines[1:], []], strict=True):
        if line[:1] == ["dep"]:
            _, name, version, *_ = following if following[:1] == ["=>"] else line
            yield _module(cache, name, version)


def _module_cache(go: Path) -> Path:
    return Path(process.run([go, "env", "GOMODCACHE"], timeout=30).strip())


def _module(cache: Path, name: str, version: str) -> Material:
    folder = cache / re.sub("[A-Z]", lambda capital: "!" + capital[0].lower(), f"{name}@{version}")
    files = {path for pattern in _LICENCE_FILES for path in folder.glob(pattern) if path.is_file()}
    names = {recognise(path.read_text(errors="replace", encoding="utf-8")) for path in files}
    return Material("golang", name, version, tuple(sorted(filter(None, names))))


def _packages(root: Path, copyrights: Path, files: set[str] | None = None) -> Iterator[Material]:
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
            copyright = copyrights / name
            text = copyright.read_text(errors="replace", encoding="utf-8") if copyright.exists() else ""
            yield Material("deb", name, fields["Version"], of_debian(text))


def recognise(text: str) -> str | None:
    flat = re.sub(r"[\s\"“”*#;/]+", " ", text.lower())
    return next((name for name, sign in _SIGNS if re.search(sign, flat)), None)


def of_debian(text: str) -> tuple[str, ...]:
    """Return the licences in a package's copyright file, by the names that Debian gives them, such as GPL-2+."""
    stated = [name for line in _STATED.findall(text) for name in re.split(r",?\s+(?:and|or|with)\s+|[,|]", line)]
    names = {name.strip() for name in stated if name.strip()} or {*_COMMON.findall(text)}
    return tuple(sorted(names or filter(None, [recognise(text)])))


def bill_of_materials(
    materials: Mapping[Component, Sequence[Material]], files: Iterable[File], *, epoch: int | None = None
) -> bytes:
    """Return the bill in CycloneDX 1.6 (ECMA-424) JSON; its serial number is a hash of `files`.

    `epoch` (SOURCE_DATE_EPOCH, in seconds) is its time. Without one it has no time, so that the same content always
    gives the same bytes.
    """
    every = sorted(set(chain.from_iterable(materials.values())))
    summed = hashlib.sha256("".join(f"{file.path}\0{file.sha256}\0" for file in files).encode()).hexdigest()
    bundle = {"type": "application", "bom-ref": "sandbox-bundle", "name": "sandbox-bundle", "version": __version__}
    metadata: dict[str, Any] = {
        "component": bundle,
        "tools": {"components": [{"type": "application", "name": "sandbox", "version": __version__}]},
    }
    if epoch is not None:
        metadata["timestamp"] = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    applications = (
        {"type": "application", "bom-ref": component.path, "name": component.name, "version": component.version}
        for component in materials
    )
    bill = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, summed)}",
        "version": 1,
        "metadata": metadata,
        "components": [*applications, *map(_entry, every)],
        "dependencies": [
            {"ref": "sandbox-bundle", "dependsOn": [component.path for component in materials]},
            *({"ref": part.path, "dependsOn": [use.purl for use in uses]} for part, uses in materials.items()),
        ],
    }
    return json.dumps(bill, indent=1).encode() + b"\n"


def _entry(material: Material) -> dict[str, Any]:
    name, version, purl = material.name, material.version, material.purl
    entry = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    names = [{"license": {"id" if name in SPDX else "name": name}} for name in material.licences]
    return {**entry, "licenses": names} if names else entry
