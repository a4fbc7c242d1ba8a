"""Programs of Kubernetes on this machine, from the PATH or from the bundle."""

from __future__ import annotations

from pathlib import Path

from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.errors import MissingTool
from sandbox.names import Home
from sandbox.system import process


def kubectl(home: Home) -> Path:
    """Return kubectl: the user's, or the bundle's program, which has to be called by that name. Raises MissingTool."""
    found = process.which("kubectl") or Store(home.bundle).tool(recipes()["kubernetes"], "kubernetes")
    if found is None:
        raise MissingTool(
            "kubectl is not installed",
            fix="install it: https://kubernetes.io/docs/tasks/tools/   (or `sandbox bundle build kubernetes`)",
        )
    return found
