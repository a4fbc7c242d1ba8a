"""The programs of the bundle that this machine itself runs: built for its system, if that is not the engine's."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sandbox.bundle.recipe import GoBuild, Recipe, recipes
from sandbox.errors import MissingTool, UsageError
from sandbox.system import process

# Of Kubernetes' single program for everything, only kubectl is built for other systems; it keeps the name.
KUBECTL = ("k8s.io/kubernetes/cmd/kubectl", "kubernetes")
COMPONENTS = ("kind", "helm", "buildx", KUBECTL[1])
_BREW = {"kubectl": "kubernetes-cli"}
_COMPONENT = {"kubectl": KUBECTL[1]}


def wanted(only: Sequence[str] = ()) -> dict[str, Recipe]:
    """Return how the components are built for another system than Linux: their programs alone.

    Raises UsageError for components that nodes and containers are made from.
    """
    names = only or COMPONENTS
    others = [name for name in names if name not in COMPONENTS]
    if others:
        raise UsageError(
            f"these are built on Linux alone: {', '.join(others)}",
            details=f"on this system the bundle has the programs that run on it: {', '.join(COMPONENTS)}",
            fix="leave them out: the first `up` pulls the system images; or `sandbox bundle load` a file that "
            "`sandbox bundle save` made on a Linux machine",
        )
    return {name: _programs(recipes()[name]) for name in names}


def _programs(recipe: Recipe) -> Recipe:
    package, name = KUBECTL
    go = recipe.go
    if go and recipe.name == name:
        go = GoBuild(programs=(name,), packages=(package,), rename={"kubectl": name}, variables=go.variables)
    programs = replace(recipe, go=go, image=None, needs=())
    vars(programs)["digest"] = recipe.digest
    return programs


def require(asked: Sequence[str | Path], oldest: tuple[int, int, int], *, fix: str) -> str:
    """Return a program's version, by the command that tells it. Raises MissingTool if it is older than `oldest`."""
    said = process.run(asked, timeout=20)
    match = re.search(r"\bv?(\d+)\.(\d+)\.(\d+)", said)
    if match is None or tuple(map(int, match.groups())) < oldest:
        program = Path(asked[0])
        raise MissingTool(
            f"{program.name} is too old: {process.last_lines(said, 1)}", details=f"found at {program}", fix=fix
        )
    return match[0]


def advice(program: str, *, linux: str) -> str:
    """Return the fix for a missing program: on Linux as given, on macOS Homebrew's command or ours."""
    if sys.platform == "linux":
        return linux
    return f"brew install {_BREW.get(program, program)}, or sandbox bundle build {_COMPONENT.get(program, program)}"
