"""Nodes held still (the cgroup freezer): they keep all they have in memory, and use no processor time.

The kernel goes on to accept connections for them; these wait until the nodes go on.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from sandbox.components.cluster.docker_nodes import Containers
from sandbox.system import files

WIDTH = 8
CONTROL_PLANE = "control-plane"
# The rest of it outlives the command, and takes no script by systemd-run, which would expand its variables.
PREPARE = (
    "sh",
    "-c",
    "pkill -STOP -x kube-controller; systemctl stop kubelet; read -r now _ </proc/uptime\n"
    'setsid sh -c "$1" after-sleep "${now%.*}" </dev/null >/dev/null 2>&1 &',
    "sh",
    files.packaged(__package__, "scripts/after-sleep.sh"),
)


def hold(nodes: Containers) -> bool:
    """Hold every node that runs still, until `let_go`; returns whether any ran. Raises SandboxError."""
    running = [one for one in nodes.all() if one.running]
    with ThreadPoolExecutor(WIDTH) as pool:
        list(pool.map(lambda one: nodes.engine.execute(one.name, PREPARE), running))
        # Workers first: what a control plane would make of their silence it does not see.
        for leads in (False, True):
            group = [one.name for one in running if (one.labels.get(nodes.role or "") == CONTROL_PLANE) is leads]
            list(pool.map(nodes.engine.pause, group))
    return bool(running)


def let_go(nodes: Containers) -> bool:
    """Let every node go on that is held still; returns whether there was any. Raises SandboxError."""
    held = [one.name for one in nodes.all() if one.held]
    with ThreadPoolExecutor(WIDTH) as pool:
        list(pool.map(nodes.engine.start, held))
    return bool(held)
