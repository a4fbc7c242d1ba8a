"""Opens this machine's ports for our own HAProxy and hands it the sockets, so that no forwarder is in between.

A second HAProxy, the holder, in the machine's own network, binds the ports and never accepts a connection. The server,
which is the edge or a registry's frontend, takes over its listening sockets (management guide, `-x` and `expose-fd
listeners`) and stays where it is: on the sandboxes' networks, with the engine's DNS, without a capability. The engine's
own forwarder, a process for each port, costs more than all that the server does itself, and hides clients. The holder
in turn takes over the sockets of the present server, if there is one: both always have the same sockets, also when
either is replaced, and a client that connects meanwhile waits in a socket's queue.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sandbox.engine import Bind, ContainerSpec, Engine, EngineError
from sandbox.engine.connection import Facts
from sandbox.system import files, host_network
from sandbox.system.wait import wait_until

FOLDER = "/etc/edge/sockets"
LIVE = "/run/live"
HANDED = "handed.sock"
SERVED = "edge.sock"
# One that can take no sockets over, since there is no server yet, ends at once with 1, and its successor opens them. A
# master, which would keep running, takes 7 MB.
_HOLD = f"haproxy -db -f {FOLDER}/holder.cfg"
COMMAND = ("sh", "-c", f"{_HOLD} -x {LIVE}/{SERVED} || [ $? -ne 1 ] || exec {_HOLD}")
# A server that cannot take sockets over must not listen in its own network, but end and be restarted. More than this
# would overlap the ports of outgoing connections, which the kernel refuses.
LAST = 32767
SYSCTLS = {"net.ipv4.ip_unprivileged_port_start": str(LAST + 1)}
NONROOT = 65532  # a user with no rights and no name on most systems
READABLE = 0o644  # the containers may run as another user
_BINDS = "binds.json"
_PATIENCE = 20.0  # seconds until a running container has to answer
_RESTARTING = 5.0  # seconds until one that ended, and that the engine starts again, has to run

# The sockets are the server's too, so the holder may neither pause them nor accept anything, from the first moment on.
# A log forwarder takes `maxconn 0` literally, where a frontend takes it for "no limit". Where a server has the ports
# but does not answer within a second, further sockets would get a part of its clients, whom no one would serve: without
# SO_REUSEPORT they are refused, and the holder is started again until the server answers.
_HEAD = f"""\
global
  log stdout format raw local0 notice
  nbthread 1
  noreuseport
  maxconn 16
  stats socket {FOLDER}/{HANDED} mode 660 level admin expose-fd listeners

log-forward held
  maxconn 0
"""

# The lines of the server's configuration by which the holder finds its sockets.
EXPOSED = f"  stats socket {LIVE}/{SERVED} mode 660 level admin expose-fd listeners\n"


def are_handed_over(engine: Engine) -> bool:
    """Tell whether the engine's host network is this machine's, and its containers can pass sockets to each other."""
    return bool(engine.shares_network()) and not engine.facts().isolating


def taken_over(folder: str) -> tuple[str, ...]:
    """Return the server's arguments for taking over the holder's sockets, where its own files are in `folder`."""
    return ("-x", f"{folder}/sockets/{HANDED}")


def line(bind: Bind) -> str:
    """Return the `bind` line of both sides; a socket is only taken over by a side with the same line."""
    only = " v6only" if ":" in bind.address else ""
    return f"  bind {host_network.authority(bind.address, bind.port)}{only}\n"


def held(folder: Path) -> tuple[Bind, ...]:
    """Return what is held for the server with its files in `folder`; nothing where the engine forwards the ports.

    A damaged file says nothing either: the server is made again for it.
    """
    try:
        return tuple(Bind(*each) for each in files.read_json(folder / "sockets" / _BINDS))
    except (OSError, ValueError, TypeError):
        return ()


def write(folder: Path, binds: Sequence[Bind], owner: tuple[int, int] | None) -> None:
    """Write the holder's configuration for `binds`; without any, remove an earlier one.

    Both containers use the folders, of one group and as different users; they are in a folder that others cannot enter.
    The server cannot write what the holder reads.
    """
    place = folder / "sockets"
    for each in (place, folder / "live"):
        each.mkdir(mode=0o770, exist_ok=True)
        each.chmod(0o770)
        os.chown(each, *(owner or (os.getuid(), os.getgid())))
    (place / HANDED).unlink(missing_ok=True)
    if not binds:
        (place / _BINDS).unlink(missing_ok=True)
        return
    content = {
        "holder.cfg": _HEAD + "".join(map(line, binds)),
        _BINDS: json.dumps([(bind.address, bind.port) for bind in binds]),
    }
    for name, text in content.items():
        files.write_atomic(place / name, text.encode(), mode=READABLE)


def holder(name: str, image: str, folder: Path, user: str, labels: Mapping[str, str]) -> ContainerSpec:
    """Return the holder's container; `user` is the server's, whose group the holder has.

    It runs as root without any right of root's except to bind low ports, which only root gets from the engine.
    """
    return ContainerSpec(
        name=name,
        image=image,
        command=COMMAND,
        labels=labels,
        network="host",
        read_only_binds={folder / "live": LIVE},
        binds={folder / "sockets": FOLDER},
        user=f"0:{user.partition(':')[2]}",
        capabilities=("NET_BIND_SERVICE",),
        memory="64m",
        processes=64,
    )


def owner(facts: Facts) -> tuple[int, int] | None:
    """Return the user of the server if it is another one: none for root, who owns a rootless engine's files."""
    return (NONROOT, NONROOT) if os.getuid() == 0 and not facts.rootless else None


def wait(engine: Engine, name: str, done: Callable[[], bool], *, again: bool = False) -> None:
    """Wait until a container is ready; with `again`, one that ends has some seconds in which the engine restarts it.

    Raises EngineError with its output if it ends, SandboxError if it takes too long.
    """
    since = time.monotonic()

    def silence() -> str | None:
        if done():
            return None
        found = engine.container(name)
        if found is None or not found.running:
            if again and found is not None and time.monotonic() - since < _RESTARTING:
                return "was started again"
            said = engine.logs(name) if found else "another command or program removed it"
            raise EngineError(f"the container {name} stopped", details=said)
        return "does not answer"

    wait_until(silence, what=f"the container {name}", timeout=_PATIENCE, pause=0.02)
