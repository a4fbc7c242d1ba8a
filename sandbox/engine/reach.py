"""Measures, once for each engine, how this machine and the engine reach each other, instead of guessing by its name.

Most engines of laptops are in a virtual machine, and some in a container. Which ports arrive here, by which address
containers find this machine and whether they see its folders depends on the tool, its release and its settings.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from sandbox.engine.connection import Engine
from sandbox.engine.engine_values import Bind
from sandbox.errors import SandboxError
from sandbox.names import Home
from sandbox.system import files

PRIVILEGED = 1024
WRITABLE, READ_ONLY, UNSEEN = "writable", "read-only", "not seen"
_BOOT, _NETWORK = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/net")
_FIRST = "bridge"
_FRESH = 60.0  # seconds in which a command does not measure again, whatever it found: it may roll back meanwhile
_measuring = threading.Lock()
_latest: dict[tuple[Path, str], tuple[float, Reach]] = {}


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How this machine and an engine's reach each other; whatever is unknown counts as impossible.

    `shares_network`: the engine's host network is this machine's; `shares_kernel`: at least the kernel is. `published`
    are the addresses here at which a port that a container publishes on 127.0.0.1 is reached, `low_ports` whether it
    may be one below 1024. `containers`: addresses of containers are reached. `machine` is this machine's address for
    containers, empty where none answers; where the network is shared each network's gateway is one. `folders` tells how
    containers get folders below the user's state folder. `measured` is false for a guess.
    """

    shares_network: bool = False
    shares_kernel: bool = False
    published: tuple[str, ...] = ()
    low_ports: bool = True
    containers: bool = False
    machine: str = ""
    folders: str = UNSEEN
    measured: bool = True


# The usual case: an engine whose bridges are interfaces of this machine, and which runs as root.
PLAIN = Reach(
    shares_network=True,
    shares_kernel=True,
    published=("127.0.0.1",),
    containers=True,
    folders=WRITABLE,
)
# Before anything can be measured, for there is no image yet: ports are tried, and nothing else is relied on.
UNKNOWN = Reach(measured=False)


def of(engine: Engine, home: Home) -> Reach:
    """Return how this machine and the engine reach each other; the first time, this takes a second to measure.

    The usual engine is known by its bridges, without a container. Raises EngineError.
    """
    if engine.shares_network():
        return PLAIN
    with _measuring:
        found = known(engine, home)
        if found is not None:
            return found
        place = _file(home), _key(engine)
        if place not in _latest or time.monotonic() - _latest[place][0] > _FRESH:
            found = _measured(engine, home)
            if not found.measured:
                return found
            _latest[place] = time.monotonic(), found
            if found.published:  # a machine that was too busy to answer must not count as unreachable from now on
                _keep(engine, home, found)
        return _latest[place][1]


def known(engine: Engine, home: Home) -> Reach | None:
    """Return what was measured of an engine that is not the usual one, since this machine started."""
    with suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
        content = files.read_json(_file(home)).get(_key(engine))
        return Reach(**{**content, "published": tuple(content["published"])}) if content else None
    return None


def forget(home: Home) -> None:
    """Have it measured again the next time."""
    _latest.clear()
    _file(home).unlink(missing_ok=True)


def again(engine: Engine, home: Home) -> Reach:
    """Measure again now, since what was measured turned out to be wrong. Raises EngineError."""
    forget(home)
    return of(engine, home)


def _measured(engine: Engine, home: Home) -> Reach:
    from sandbox.engine import reach_probe  # which the usual engine does without

    found = reach_probe.measure(engine, home)
    if found is None:
        return UNKNOWN
    kernel = bool(found.boot) and found.boot == _read(_BOOT)
    # The first network namespace of every kernel has the same number.
    shared = kernel and found.network == _link(_NETWORK)
    return Reach(
        shares_network=shared,
        shares_kernel=kernel,
        published=found.published,
        low_ports=found.low_ports,
        containers=found.containers,
        # The address that was found belongs to the container's network, and may be removed with it.
        machine="" if shared else found.machine,
        folders=WRITABLE if found.written else READ_ONLY if found.seen else UNSEEN,
    )


def _keep(engine: Engine, home: Home, found: Reach) -> None:
    kept: Mapping[str, object] = {}
    with suppress(OSError, ValueError):
        content = files.read_json(_file(home))
        kept = content if isinstance(content, dict) else {}
    with suppress(SandboxError):  # then it is measured again
        files.write_private(_file(home), json.dumps({**kept, _key(engine): asdict(found)}).encode())


def _file(home: Home) -> Path:
    return home.state / "reach.json"


def _key(engine: Engine) -> str:
    """Return what the measurement depends on: this engine, its address, and this network until a restart.

    Engines before 23 that share a machine's /etc/docker/key.json have the same id, and folders and ports are settings
    of a virtual machine that take effect at its start: so the id of its first network is included, which Docker makes
    at each start.
    """
    first = engine.network(_FIRST)
    place = (engine.id(), first.id if first else "", engine.address, _read(_BOOT), _link(_NETWORK))
    return hashlib.sha256(repr(place).encode()).hexdigest()[:16]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def unheard(bind: Bind, found: Reach) -> SandboxError:
    """Return the error for an engine whose machine has another network, and does not forward this port to this one."""
    if found.published and bind.port < PRIVILEGED and not found.low_ports:
        return SandboxError(
            f"port {bind.port} of the engine's machine does not arrive at {bind.asked_at} of this one",
            details=f"those from {PRIVILEGED} on do, as was measured just now; `auto` takes one of them from now on",
            fix="sandbox up --https-port 8443, or let the tool of the engine's machine use privileged ports",
            id="engine-ports",
        )
    return SandboxError(
        f"no port of the Docker Engine answers at {bind.asked_at}:{bind.port} of this machine",
        details="a container listens there on the engine's machine, which has another network: it is a container or a "
        "virtual machine that forwards no ports to this one",
        fix="run sandbox where the engine runs, or let its machine forward ports (a container: --network host)",
        id="engine-ports",
    )
