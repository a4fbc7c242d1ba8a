"""A project's folder as a developer has it, and what `init` makes of its compose file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from sandbox.bundle.store import Store
from sandbox.init import compose, detect
from sandbox.init.detected import App, Found

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec: {template: {spec: {containers: [{name: api, image: "localhost:5001/shop/api:1"}]}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: api}
spec: {rules: [{host: api.shop.sandbox.localhost}]}
"""


def write(folder: Path, **files: str) -> Path:
    """Write the files, with `__` for a slash and `_yaml` for the ending; return the path of the compose file."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_yaml", ".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "compose.yaml"


def apps(folder: Path, **files: str) -> dict[str, App]:
    """Return the programs of the compose file by their names."""
    return {app.name: app for app in load(write(folder, **files))[0]}


def load(path: Path, profiles: Collection[str] = ()) -> tuple[list[App], list[str]]:
    """Return the programs of the compose file at the path, and the notes."""
    found = compose.load(path.parent, profiles)
    assert found is not None
    return list(found.apps), list(found.notes)


def services(folder: Path, text: str) -> dict[str, App]:
    """Return the programs of a compose file with these services."""
    return apps(folder, compose_yaml=f"services:\n{text}")


def notes(found: Found) -> tuple[str, ...]:
    """The notes, without the one of machines that have no helm."""
    return tuple(one for one in found.notes if not one.startswith("helm is not installed"))


def look(folder: Path, profiles: Collection[str] = ()) -> Found:
    """Return what `init` finds, with the programs of this machine only."""
    return detect.look(folder, Store(folder / "bundle"), profiles)
