"""The `kubectl port-forward`s to clusters that containers cannot reach, kept running by one process of the user.

They are kubectl's, because the Python client's own forward reads as fast as the cluster sends, however slow its reader
is, and waits with select(), which ends at 1024 open files. A forward is bound to one pod; after the pod's end kubectl
ends too, or reports errors, and its successor finds the next pod.
"""

from __future__ import annotations

from pathlib import Path

from sandbox.components.edge import forwarder_process, routes
from sandbox.components.edge.route import LOOPBACK, REGISTRY
from sandbox.errors import SandboxError
from sandbox.names import Home
from sandbox.system import daemon, files, host_network
from sandbox.system.process import last_lines
from sandbox.system.wait import WaitTimeout, wait_until

TIMEOUT = 30.0  # seconds until a forward accepts connections
LARGEST_LOG = 1 << 20  # bytes


def follow(home: Home) -> None:
    if routes.forwards(home.edge):
        if daemon.find(_record(home)) is None:
            _start(home)
    elif daemon.end(_record(home)):
        log(home).unlink(missing_ok=True)
        home.kubectl.unlink(missing_ok=True)


def use(home: Home, kubectl: Path) -> None:
    """Have the process run this program, by a link named `kubectl`: the bundle's program goes by its name."""
    files.make_private_dir(home.forwards)
    home.kubectl.unlink(missing_ok=True)
    home.kubectl.symlink_to(kubectl)


def wait(home: Home, sandbox: str) -> None:
    """Return when the sandbox's registry is reached, if by a forward. Raises SandboxError with kubectl's output."""
    try:
        wait_until(lambda: trouble(home, sandbox), what="kubectl port-forward", timeout=TIMEOUT, pause=0.1)
    except WaitTimeout as error:
        raise SandboxError(
            "the cluster is not reached by kubectl port-forward",
            details=f"{error.details}\n{last_lines(_output(home))}".strip(),
            fix="see that kubectl port-forward works for your account; docs/existing.md has the rights that it needs",
            id="port-forward",
        ) from error


def trouble(home: Home, sandbox: str) -> str | None:
    """Return why the sandbox's forwards do not work, or None; the ingress and Services may come later."""
    forwards = routes.forwards(home.edge, sandbox)
    if not forwards:
        return None
    if daemon.find(_record(home)) is None:
        return f"has no process for port-forwards; its log is {log(home)}"
    down = (each for each in forwards if each.name == REGISTRY and host_network.is_free(LOOPBACK, each.local))
    return next((f"does not reach {each.target} in {each.namespace}" for each in down), None)


def log(home: Home) -> Path:
    return home.forwards / "forwards.log"


def _record(home: Home) -> Path:
    return home.forwards / "process.json"


def _output(home: Home) -> str:
    return log(home).read_text(encoding="utf-8", errors="replace") if log(home).exists() else ""


def _start(home: Home) -> None:
    files.make_private_dir(home.forwards)
    if log(home).exists() and log(home).stat().st_size > LARGEST_LOG:
        log(home).unlink()
    daemon.start(forwarder_process.argv(home), log_to=log(home), record=_record(home))
