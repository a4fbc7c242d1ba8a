"""The minikube that tests use where there is one: on the PATH, or in a folder with what it needs to start offline."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from sandbox.engine import Engine

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


def own(addon: str, registry: int, **images: str) -> dict[str, Any]:
    hosts = ",".join(f"{key}=localhost:{registry}" for key in images)
    return {
        "addon": addon,
        "values": {"images": ",".join(f"{key}={name}" for key, name in images.items()), "registries": hosts},
    }
