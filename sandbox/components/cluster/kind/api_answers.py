"""Whether the API server of a control plane serves, and kubelets that ask it as soon as it does."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sandbox.components.cluster.kind.early_start import ASK
from sandbox.components.cluster.kind.worker_join import ADMIN, PORT
from sandbox.engine import Engine
from sandbox.system.wait import wait_until

TIMEOUT = 120.0  # seconds


def refresh(engine: Engine, control_plane: str, started: Sequence[str]) -> None:
    """Have the kubelets of nodes that were started ask the API server as soon as it listens.

    One that was refused while the API server came waits twice as long after each time (client-go, tools/cache:
    Reflector), and starts no container before it has read all Services; one that is restarted asks at once.
    """
    if not started:
        return
    wait_until(partial(deafness, engine, control_plane), what="the API server", timeout=TIMEOUT)
    for node in started:
        engine.execute(node, ["systemctl", "try-restart", "kubelet"])


def deafness(engine: Engine, control_plane: str) -> str | None:
    """Return why the API server serves no client yet, or None; to ask it with kubectl would take its processor."""
    status, said = engine.execute(control_plane, ["bash", "-c", ASK, "ask", str(PORT)])
    return None if status == 0 else said.strip()


def silence(engine: Engine, control_plane: str) -> str | None:
    """Return why the API server is not ready, or None."""
    status, said = engine.execute(control_plane, ["kubectl", *ADMIN, "get", "--raw=/readyz"])
    return None if status == 0 else said.strip()
