"""The bill of materials of a bundle, in CycloneDX 1.6 (ECMA-424) JSON: components, what they were made of, licences."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from sandbox import __version__
from sandbox.bundle.builder import licences
from sandbox.bundle.builder.materials import Material
from sandbox.bundle.contents import Component, File


def document(
    materials: Mapping[Component, Sequence[Material]], files: Iterable[File], *, epoch: int | None = None
) -> bytes:
    """The bill for components and what each was made of; `files` give it its serial number.

    `epoch` (SOURCE_DATE_EPOCH, in seconds) is the time it bears; without one it bears none, so that the same content
    always gives the same bytes.
    """
    every = sorted({one for found in materials.values() for one in found})
    summed = hashlib.sha256("".join(f"{file.path}\0{file.sha256}\0" for file in files).encode()).hexdigest()
    metadata: dict[str, Any] = {
        "component": {
            "type": "application",
            "bom-ref": "sandbox-bundle",
            "name": "sandbox-bundle",
            "version": __version__,
        },
        "tools": {"components": [{"type": "application", "name": "sandbox", "version": __version__}]},
    }
    if epoch is not None:
        metadata["timestamp"] = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    bill = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, summed)}",
        "version": 1,
        "metadata": metadata,
        "components": [*(_component(one) for one in materials), *(_material(one) for one in every)],
        "dependencies": [
            {"ref": "sandbox-bundle", "dependsOn": [one.path for one in materials]},
            *({"ref": one.path, "dependsOn": [_purl(each) for each in found]} for one, found in materials.items()),
        ],
    }
    return json.dumps(bill, indent=1).encode() + b"\n"


def _component(one: Component) -> dict[str, Any]:
    return {"type": "application", "bom-ref": one.path, "name": one.name, "version": one.version}


def _material(one: Material) -> dict[str, Any]:
    named = [{"license": {"id" if licences.is_identifier(name) else "name": name}} for name in one.licences]
    described = {"type": "library", "bom-ref": _purl(one), "name": one.name, "version": one.version, "purl": _purl(one)}
    return {**described, "licenses": named} if named else described


def _purl(one: Material) -> str:
    """The package URL (purl-spec, types `golang` and `deb`)."""
    name = quote(one.name.lower() if one.kind == "golang" else f"debian/{one.name}", safe="/")
    return f"pkg:{one.kind}/{name}@{quote(one.version, safe='')}"
