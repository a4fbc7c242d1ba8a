"""`python -m sandbox.components.edge.relay.relay_process FOLDER`: the relay, following the routes in FOLDER."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from sandbox.components.edge import routes
from sandbox.components.edge.relay import relay
from sandbox.components.edge.relay.port_forward import Forwards
from sandbox.components.edge.relay.relay import Serving
from sandbox.components.edge.relay.relay_server import Limits, RelayServer
from sandbox.components.edge.route import Route
from sandbox.errors import SandboxError

log = logging.getLogger(__name__)

POLL = 0.2  # seconds between two checks of the routes
RETRY = 25  # checks until a port that was not available is tried again
GRACE = 3.0
SPARE_FILES = 128


def argv(folder: Path) -> Sequence[str]:
    """Return the command that starts it; -P, since the current folder may contain a package of our name."""
    return (sys.executable, "-P", "-m", __spec__.name, str(folder))


async def run(folder: Path, allowed: Limits) -> None:
    """Follow the routes of `folder` until a SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    server = RelayServer(Forwards(), allowed)
    seen, checks, trouble = None, 0, False
    while not stopping.is_set():
        checks += 1
        now = _signature(folder)
        if now != seen or (trouble and checks % RETRY == 0):
            trouble = await _follow(folder, server)
            seen = now
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL):
                await stopping.wait()
    log.info("stops")
    await server.stop(GRACE)


async def _follow(folder: Path, server: RelayServer) -> bool:
    """Follow the present routes; returns whether there is a problem that may resolve itself."""
    try:
        every = routes.load(folder)
        known = tuple(route for route in every if _is_understood(route))
        trouble = await server.follow(known)
        for (address, port), reason in trouble.items():
            log.warning("cannot listen on %s:%d: %s", address, port, reason)
        named = {f"{address}:{port}": reason for (address, port), reason in trouble.items()}
        # Of all that were read, for one of another release keeps no other sandbox from being served.
        relay.save(folder, Serving(relay.digest(every), server.listening, named))
    except SandboxError as error:  # what was served before is still served
        log.warning("%s: %s", error.brief, error.details)
        return True
    log.info("%d routes, listens on %s", len(known), sorted(server.listening))
    return bool(trouble)


def _is_understood(route: Route) -> bool:
    try:
        for upstream in (route.upstream, *(tunnel.upstream for tunnel in route.tunnels)):
            relay.parse(upstream)
    except ValueError as error:
        log.warning("route %s: %s", route.name, error)
        return False
    return True


def _signature(folder: Path) -> frozenset[tuple[str, int, int]]:
    """Return a value that changes whenever a route does: routes are files that are replaced, never written to."""
    found = set()
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder / "routes"):
            if entry.name.endswith(".json"):
                status = entry.stat()
                found.add((entry.name, status.st_ino, status.st_mtime_ns))
    return frozenset(found)


def limits() -> Limits:
    """Allow as many connections as the system gives us files for, two for each."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    usual = 2 * Limits().connections + SPARE_FILES
    most = usual if hard == resource.RLIM_INFINITY else min(hard, usual)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    allowed = usual if soft == resource.RLIM_INFINITY else soft
    return Limits(connections=min(Limits().connections, (allowed - SPARE_FILES) // 2))


def main() -> None:
    """Run until told to stop."""
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.chdir("/")
    os.umask(0o077)
    asyncio.run(run(Path(sys.argv[1]), limits()))


if __name__ == "__main__":
    main()
