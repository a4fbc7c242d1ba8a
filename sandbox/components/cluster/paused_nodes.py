"""Pauses nodes by the cgroup freezer: they keep everything in memory, and use no processor time.

The kernel still accepts connections for them, which wait until the nodes resume.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from sandbox.provider import Nodes
from sandbox.system import files

WIDTH = 8
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
