"""kubectl on this machine: the user's, or the bundle's."""

from __future__ import annotations

from pathlib import Path

from sandbox.bundle import released_tools
from sandbox.bundle.store import Store
from sandbox.errors import MissingTool


def find(store: Store, *, purpose: str = "") -> Path:
    """Return kubectl from the PATH, else the bundle's program, which has to be called by that name.

    `purpose` says in the error what needs it. Raises MissingTool.
    """
    program = released_tools.find("kubectl", store)
    if program is None:
        raise MissingTool(
            "kubectl is not installed",
            details=purpose,
            fix="install it: https://kubernetes.io/docs/tasks/tools/   (or `sandbox bundle build kubernetes`)",
        )
    return program
