"""Listens on this machine's ports for the edge and hands it the sockets, so that no forwarder stands between.

A second HAProxy, in the machine's own network, binds the ports and never accepts a connection. The edge takes over its
listening sockets (management guide, `-x` and `expose-fd listeners`) and stays where it is: on the sandboxes' network,
with the engine's DNS, without a capability. The engine's own forwarder, a process for each port, costs more than all
that the edge does itself, and hides clients.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sandbox.host import files
from sandbox.host.engine import Bind, ContainerSpec
from sandbox.host.facts import Facts
from sandbox.proxy.routes import READABLE

FOLDER = "/etc/edge/sockets"
COMMAND = ("haproxy", "-db", "-f", f"{FOLDER}/holder.cfg")
HANDED = "handed.sock"
TAKEN_OVER = ("-x", f"{FOLDER}/{HANDED}")
_BINDS = "binds.json"

_HEAD = f"""\
global
  log stdout format raw local0 notice
  nbthread 1
  maxconn 16
  stats socket {FOLDER}/binding.sock mode 660 level admin expose-fd listeners
  lua-load {FOLDER}/holder.lua

defaults
  mode tcp
  timeout connect 1s
  timeout client 1m
  timeout server 1m

frontend held
"""

# A paused frontend's sockets are bound and do not listen. Only then may they be had: pausing them later would stop
# the edge from listening too, for they are the same sockets.
_PAUSE = f"""\
core.register_task(function()
  local cli = core.tcp()
  assert(cli:connect("{FOLDER}/binding.sock"))
  cli:send("disable frontend held\\n")
  cli:receive("*a")
  cli:close()
  assert(os.rename("{FOLDER}/binding.sock", "{FOLDER}/{HANDED}"))
end)
"""


def are_handed_over(facts: Facts) -> bool:
    """Whether the engine's machine is this one, and containers of its network and ours can pass sockets."""
    ours = sys.platform == "linux" and facts.kernel == platform.release() and "desktop" not in facts.system.lower()
    return ours and facts.local and not facts.isolating


def line(bind: Bind) -> str:
    """The `bind` line of either side; a socket is only taken over by one that says the same."""
    where = f"[{bind.address}]:{bind.port} v6only" if ":" in bind.address else f"{bind.address}:{bind.port}"
    return f"  bind {where}\n"


def held(folder: Path) -> tuple[Bind, ...]:
    """What is held for the edge in `folder`; nothing where the engine forwards the ports."""
    try:
        return tuple(Bind(*each) for each in json.loads((folder / "sockets" / _BINDS).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return ()


def write(folder: Path, binds: Sequence[Bind], owner: tuple[int, int] | None) -> None:
    """Write what the holder of `binds` reads; without any, forget those of before.

    Both containers use the folder, of one group and as different users; it is in one that others cannot enter.
    """
    place = folder / "sockets"
    place.mkdir(mode=0o770, exist_ok=True)
    place.chmod(0o770)
    os.chown(place, *(owner or (os.getuid(), os.getgid())))
    (place / HANDED).unlink(missing_ok=True)
    if not binds:
        (place / _BINDS).unlink(missing_ok=True)
        return
    content = {
        "holder.cfg": _HEAD + "".join(map(line, binds)),
        "holder.lua": _PAUSE,
        _BINDS: json.dumps([(bind.address, bind.port) for bind in binds]),
    }
    for name, text in content.items():
        files.write_atomic(place / name, text.encode(), mode=READABLE)


def holder(name: str, image: str, folder: Path, user: str, labels: Mapping[str, str]) -> ContainerSpec:
    """The container that holds them; `user` is the edge's, whose group the holder has.

    It is root without any right of root's but to bind the lower ports, which only root gets from the engine.
    """
    return ContainerSpec(
        name=name,
        image=image,
        command=COMMAND,
        labels=labels,
        network="host",
        binds={folder / "sockets": FOLDER},
        user=f"0:{user.partition(':')[2]}",
        capabilities=("NET_BIND_SERVICE",),
        memory="64m",
        processes=64,
    )
