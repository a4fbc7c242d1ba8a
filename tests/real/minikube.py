"""The minikube that tests use where there is one: on the PATH, or in a folder with what it needs to start offline."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest
import yaml

from sandbox.app import context
from sandbox.engine import Engine
from sandbox.names import Names
from tests.real import machine
from tests.real.machine import CommandLine, Ran, tool

VARIABLE = "SANDBOX_TEST_MINIKUBE"


def variables(engine: Engine, home: Path) -> dict[str, str]:
    """The environment for a minikube with a MINIKUBE_HOME of the test's own; without a minikube the test is skipped.

    The folder that SANDBOX_TEST_MINIKUBE names may hold the program; `env`, lines of KEY=VALUE; `kicbase.tar`, the
    base image that those name; and `cache`, which stands in for the one of MINIKUBE_HOME.
    """
    folder = Path(os.environ[VARIABLE]) if VARIABLE in os.environ else None
    path = f"{folder}{os.pathsep}{os.environ['PATH']}" if folder else os.environ["PATH"]
    if shutil.which("minikube", path=path) is None:
        pytest.skip(f"needs a minikube, on the PATH or in the folder that {VARIABLE} names")
    found = {"PATH": path, "MINIKUBE_HOME": str(home)}
    if folder is None:
        return found
    place = home / ".minikube"
    place.mkdir(parents=True, exist_ok=True)
    if (folder / "cache").exists():
        (place / "cache").symlink_to(folder / "cache")
    if (folder / "env").exists():
        lines = (folder / "env").read_text().split()
        found |= dict(line.split("=", 1) for line in lines)
    if (folder / "kicbase.tar").exists() and engine.image_id(found["MINIKUBE_BASE_IMAGE"]) is None:
        engine.load(folder / "kicbase.tar")
    return found


def archive(name: str) -> Path:
    """An image's archive in the folder's `images`; where it is missing the test is skipped."""
    folder = os.environ.get(VARIABLE)
    path = Path(folder or "", "images", f"{name}.tar")
    if folder is None or not path.exists():
        pytest.skip(f"needs an image as images/{name}.tar in the folder that {VARIABLE} names")
    return path


@dataclass(frozen=True)
class Sandbox:
    """A sandbox on minikube without an ingress, with a spec that the tests change."""

    folder: Path
    spec: Mapping[str, Any]
    env: Mapping[str, str]
    said: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, name: str, folder: Path, registry: int, port: int, env: Mapping[str, str]) -> Self:
        """One with a registry and an edge on these ports, and the images of images.yaml."""
        spec = {
            "name": name,
            "cluster": {"provider": "minikube"},
            "registry": {"port": registry},
            "edge": {"ports": [port]},
            "ingress": {"controller": "none"},
            "push": "images.yaml",
        }
        return cls(folder, spec, env)

    @property
    def names(self) -> Names:
        return context.home().sandbox(self.spec["name"])

    def sandbox(self, *words: str, status: int | None = 0) -> Ran:
        ran = CommandLine({"KUBECONFIG": str(self.folder / "kubeconfig"), **self.env}, self.folder)(
            *words, status=status, timeout=900
        )
        self.said.extend((ran.out, ran.err))
        return ran

    def up(self, **more: Any) -> set[str]:
        """Bring it up with `more` in the spec; the steps that had something to do."""
        (self.folder / "sandbox.yaml").write_text(yaml.safe_dump({**self.spec, **more}))
        ran = self.sandbox("up", "--progress", "json")
        events = [json.loads(line) for line in ran.err.splitlines() if line.startswith("{")]
        return {event["step"] for event in events if event["event"] == "finished"}

    def addons(self) -> dict[str, tuple[str, str | None]]:
        """Each addon's state, and who enabled it if that was the sandbox."""
        rows = json.loads(self.sandbox("addons", "list", "-o", "json").out)
        return {row["name"]: (row["state"], row["by"]) for row in rows}

    def kubectl(self, *words: str) -> str:
        return tool(machine.kubectl(), "--kubeconfig", self.names.kubeconfig, *words)


def own(addon: str, registry: int, **images: str) -> dict[str, Any]:
    """An addon with images of the sandbox's registry in the place of its own."""
    hosts = ",".join(f"{key}=localhost:{registry}" for key in images)
    return {
        "addon": addon,
        "values": {"images": ",".join(f"{key}={name}" for key, name in images.items()), "registries": hosts},
    }
