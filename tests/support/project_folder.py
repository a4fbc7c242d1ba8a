"""A project's folder as a developer has it, and what `init` makes of it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from sandbox.bundle.store import Store
from sandbox.init import compose, detect
from sandbox.init.detected import App, Findings, ToolFile

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


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def project(folder: Path, profiles: Collection[str] = ()) -> ToolFile:
    result = compose.load(folder, profiles)
    assert result is not None
    return result


def services(folder: Path, text: str) -> dict[str, App]:
    write(folder, {"compose.yaml": f"services:\n{text}\n"})
    return {app.name: app for app in project(folder).apps}


def look(folder: Path, profiles: Collection[str] = ()) -> Findings:
    """Return what `init` finds, with the programs of this machine only."""
    return detect.look(folder, Store(folder / "bundle"), profiles)
