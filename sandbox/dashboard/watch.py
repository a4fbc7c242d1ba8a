"""What the dashboard shows and does: its parts, a pod's logs, and the restart of a workload."""

from datetime import UTC, datetime
from functools import partial

from sandbox.app import context, diagnosis, machine_plan
from sandbox.app.core import Sandbox
from sandbox.app.running import project_workloads
from sandbox.app.session import Session, wake_paused
from sandbox.dashboard import sandbox_state
from sandbox.dashboard.server import Dashboard
from sandbox.engine import Engine
from sandbox.errors import UsageError
from sandbox.kube.api import Cluster
from sandbox.kube.pods import container_statuses
from sandbox.names import Names
from sandbox.plan import lifecycle, saved_spec
from sandbox.sanitize import fit

LINES = 200  # of the logs of each container
PATIENCE = 10.0  # seconds to wait for another command on the sandbox


def page(sandbox: Sandbox, *, port: int) -> Dashboard:
    """Return the server of the page. Raises SandboxError where the port is taken.

    Steps are shown of `sandbox` alone, whose spec is known.
    """
    home, engine = context.home(), Engine.connect()
    steps, _, _ = machine_plan.steps(sandbox.spec)
    surveys = {sandbox.name: partial(lifecycle.survey, steps)}
    parts = {
        "sandboxes": lambda: sandbox_state.sandboxes(home, engine, surveys, now=datetime.now(UTC)),
        "edge": lambda: sandbox_state.edge(home, engine),
        "registries": lambda: sandbox_state.registries(home, engine),
        "doctor": lambda: [row.as_json() for row in diagnosis.rows(sandbox.spec, wake=False)],
    }
    return Dashboard(parts, {"logs": logs, "restart": restart}, port=port)


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
