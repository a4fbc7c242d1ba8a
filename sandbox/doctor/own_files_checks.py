"""Whether what only the user should read can be read by nobody else."""

from __future__ import annotations

import stat

from sandbox.doctor.check import Check
from sandbox.doctor.doctor_context import Scene
from sandbox.doctor.row import Finding, error, ok, skipped, warn
from sandbox.system import files

OTHERS = 0o077


def state(scene: Scene) -> Finding:
    """The folder with keys, logs and locks: who cannot enter it reads none of them."""
    folder = scene.home.state
    if not folder.exists():
        return skipped("there is none yet")
    mode = stat.S_IMODE(folder.stat().st_mode)
    return error(f"{folder} has mode {mode:04o}") if mode & OTHERS else ok(f"{folder} is for its user alone")


def kubeconfig(scene: Scene) -> Finding:
    """The user's kubeconfig, which lets whoever reads it into every cluster that it names."""
    path = scene.home.kubeconfig
    if not path.exists():
        return skipped("there is none")
    mode = stat.S_IMODE(path.stat().st_mode)
    fix = f"chmod 600 {path}"
    return warn(f"{path} has mode {mode:04o}", fix) if mode & OTHERS else ok(f"{path} is for its user alone")


def _close_state(scene: Scene) -> None:
    files.make_private_dir(scene.home.state)


def _close_kubeconfig(scene: Scene) -> None:
    scene.home.kubeconfig.chmod(0o600)


CHECKS = (
    Check(
        "files.own",
        "the sandbox's files are for their user alone",
        "chmod 700 ~/.local/state/sandbox",
        state,
        _close_state,
    ),
    Check(
        "files.kubeconfig",
        "your kubeconfig is for you alone",
        "chmod 600 ~/.kube/config",
        kubeconfig,
        _close_kubeconfig,
    ),
)
