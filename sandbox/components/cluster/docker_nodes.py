"""Ends nodes that are containers within seconds, and pauses them.

Paused by the cgroup freezer, nodes keep everything in memory and use no processor time. The kernel still accepts
connections for them, which wait until the nodes resume.

When a node is stopped, systemd sends SIGTERM to all its processes and waits for the last, so that after its ten seconds
the engine kills the node with whatever still writes. Some never end by themselves: a first process of a container that
has no handler for the signal does not get it (pid_namespaces(7)), and an API server waits for an etcd that is gone.
Those are ended at once, and the rest may take their time. With cgroup v1 a node may not end at all: runc freezes a
container while it sets the rules for its devices; a node that is ended in that moment takes runc with it, and nothing
is left to thaw the container (Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst).
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sandbox.engine import Container, ContainerSpec, Engine, labelled
from sandbox.engine.containers import BEING_REMOVED
from sandbox.errors import SandboxError
from sandbox.names import Names
from sandbox.provider import Nodes
from sandbox.system import files
from sandbox.system.wait import wait_until

# The command that a node executes before it is stopped.
STOP_COMMAND = ("bash", "-c", files.packaged(__package__, "scripts/end-processes.sh"))
# Succeeds on a node whose kubelet runs, or which has just resumed after a pause and is about to start it.
KUBELET = ("sh", "-c", "systemctl is-active --quiet kubelet || pgrep -f '[a]fter-pause' >/dev/null")
# The engine's message when it has killed a container and that does not end (moby, daemon/kill.go).
DEAF = "did not receive an exit event"
REMOVAL_PATIENCE = 30.0  # seconds
WIDTH = 8  # of what is done to nodes at the same time
FREEZER = Path("/sys/fs/cgroup/freezer")

CONTROL_PLANE = "control-plane"
# Its last part outlives the command; not by systemd-run, which would expand the variables of the script.
PREPARE = (
    "sh",
    "-c",
    "pkill -STOP -x kube-controller; systemctl stop kubelet; read -r now _ </proc/uptime\n"
    'setsid sh -c "$1" after-pause "${now%.*}" </dev/null >/dev/null 2>&1 &',
    "sh",
    files.packaged(__package__, "scripts/after-pause.sh"),
)


def end_nodes(engine: Engine, names: Names, nodes: Sequence[Container], end: Callable[[], None]) -> None:
    """Call `end`, which ends the nodes; call it again after thawing frozen nodes or awaiting their removal."""
    try:
        end()
    except SandboxError as error:
        if BEING_REMOVED in error.details:
            wait_until(
                lambda: next((node.name for node in nodes if engine.container(node.name)), None),
                what="the removal of the nodes",
                timeout=REMOVAL_PATIENCE,
            )
            end()
        elif DEAF in error.details and engine.facts().cgroup_version == 1:
            _end_frozen(engine, names, nodes, end)
        else:
            raise


def _end_frozen(engine: Engine, names: Names, nodes: Sequence[Container], end: Callable[[], None]) -> None:
    script = files.packaged(__package__, "scripts/thaw.sh")
    labelled.make_room(engine, names.thawer, names.home)
    try:
        engine.run(
            ContainerSpec(
                name=names.thawer,
                image=nodes[0].image,
                command=("sh", "-c", script, "thaw", *(node.id for node in nodes)),
                labels=names.labels,
                network="none",
                binds={FREEZER: "/freezer"},
            )
        )
        end()
    finally:
        labelled.remove(engine, names.thawer, names.home)


def pause(nodes: Nodes) -> bool:
    """Pause every running node until `resume`; returns whether any ran. Raises SandboxError."""
    running = [node for node in nodes.all() if node.running]
    with ThreadPoolExecutor(WIDTH) as pool:
        list(pool.map(lambda node: nodes.engine.execute(node.name, PREPARE), running))
        # Workers first, and the control plane at once after them, before it notices their silence.
        for leads in (False, True):
            group = [node.name for node in running if (node.labels.get(nodes.role or "") == CONTROL_PLANE) is leads]
            list(pool.map(nodes.engine.pause, group))
    return bool(running)


def resume(nodes: Nodes) -> bool:
    paused = [node.name for node in nodes.all() if node.paused]
    with ThreadPoolExecutor(WIDTH) as pool:
        list(pool.map(nodes.engine.start, paused))
        # The script in the node starts the kubelet within a second; a command that asks sooner would find it stopped.
        list(pool.map(lambda name: nodes.engine.execute(name, ("systemctl", "start", "kubelet")), paused))
    return bool(paused)
