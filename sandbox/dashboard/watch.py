"""Keeps the dashboard's content up to date while it is watched; shows a pod's logs, and restarts a workload."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sandbox.app import context, diagnosis, machine_plan
from sandbox.app.core import Sandbox
from sandbox.app.running import project_workloads
from sandbox.app.session import Session, wake_paused
from sandbox.dashboard import sandbox_state
from sandbox.dashboard.server import Dashboard
from sandbox.engine import Engine
from sandbox.errors import UsageError
from sandbox.kube.api import Cluster
from sandbox.kube.pod_images import container_statuses
from sandbox.names import Names
from sandbox.plan import lifecycle, saved_spec
from sandbox.sanitize import fit

log = logging.getLogger(__name__)

LINES = 200  # of the logs of each container
PATIENCE = 10.0  # seconds to wait for another command on the sandbox
WATCHED = 10.0  # seconds after the last request in which the page counts as watched


class Live:
    """Keeps the newest result of each part of the dashboard; one thread for each part reads it again and again.

    A part is the function that reads it, and the seconds between two calls.
    """

    def __init__(self, parts: Mapping[str, tuple[Callable[[], Any], float]]) -> None:
        self._parts = parts
        self._results: dict[str, Any] = {}
        self._asked = time.monotonic()
        self._ended = threading.Event()

    def start(self) -> None:
        for name, (read, every) in self._parts.items():
            threading.Thread(target=self._keep, args=(name, read, every), daemon=True).start()

    def stop(self) -> None:
        """Stop; a running read is not waited for."""
        self._ended.set()

    def newest(self) -> dict[str, Any]:
        """Return the newest results; the page gets a part that has none yet with a later answer."""
        self._asked = time.monotonic()
        return dict(self._results)

    def _keep(self, name: str, read: Callable[[], Any], every: float) -> None:
        while not self._ended.is_set():
            if time.monotonic() - self._asked < WATCHED:
                try:
                    self._results[name] = read()
                except Exception as error:  # the page goes on, and shows the error
                    log.exception("a part of the dashboard failed")
                    self._results[name] = {"error": str(error)}
            self._ended.wait(every)


@contextmanager
def watch(sandbox: Sandbox, *, port: int) -> Iterator[Dashboard]:
    """Keep the page's content up to date during the block. Raises SandboxError where the port is taken.

    Steps are shown of `sandbox` alone, whose spec is known.
    """
    home, engine = context.home(), Engine.connect()
    steps, _, _ = machine_plan.steps(sandbox.spec)
    surveys = {sandbox.name: partial(lifecycle.survey, steps)}
    live = Live(
        {
            "sandboxes": (lambda: sandbox_state.sandboxes(home, engine, surveys, now=datetime.now(UTC)), 2),
            "edge": (lambda: sandbox_state.attempt(partial(sandbox_state.edge, home, engine)), 2),
            "registries": (lambda: sandbox_state.registries(home, engine), 10),
            "doctor": (lambda: [row.as_json() for row in diagnosis.rows(sandbox.spec, wake=False)], 30),
        }
    )
    doing = {"logs": logs, "restart": restart}
    page = Dashboard(live.newest, doing, port=port)
    live.start()
    try:
        yield page
    finally:
        live.stop()


def logs(sandbox: str, pod: str) -> str:
    """Return the last lines of every container of a pod, named NAMESPACE/POD. Raises SandboxError."""
    names = _known(sandbox)
    wake_paused(names)
    cluster, only = Cluster(names.kubeconfig), saved_spec.namespace(names)
    namespace, _, name = pod.partition("/")
    live = cluster.get("v1", "Pod", name, namespace) if name and only in (None, namespace) else None
    if live is None:
        raise UsageError(f"there is no pod {pod} any more", id="no-workload")
    parts = []
    for container in (status["name"] for status in container_statuses(live)):
        text = cluster.log(name, namespace, lines=LINES, container=container)
        parts.append(f"── {container}\n{fit(text).rstrip() or 'no lines'}")
    return "\n\n".join(parts)


def restart(sandbox: str, workload: str) -> str:
    """Replace the pods of a workload, named [NAMESPACE/][KIND/]NAME, and wait until they are ready.

    Raises SandboxError.
    """
    names = _known(sandbox)
    with Session(command="sandbox dashboard", patience=PATIENCE).alone(sandbox, "restart"):
        cluster = Cluster(names.kubeconfig)
        meant = project_workloads.find(cluster, workload, saved_spec.namespace(names))
        project_workloads.restart(cluster, meant, lambda _: None)
    return f"{meant.title} was restarted and is ready"


def _known(sandbox: str) -> Names:
    for names in context.home().known():
        if names.name == sandbox and names.kubeconfig.exists():
            return names
    raise UsageError(f"there is no sandbox {sandbox!r}", id="no-sandbox")
