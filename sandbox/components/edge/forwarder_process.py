"""`python -m sandbox.components.edge.forwarder_process FOLDER`: runs the port-forwards of the routes in FOLDER."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from sandbox.components.edge import routes
from sandbox.components.edge.route import LOOPBACK, Forward
from sandbox.errors import SandboxError
from sandbox.names import Home
from sandbox.system import process

log = logging.getLogger(__name__)

POLL = 0.2  # seconds between two looks at the routes
PAUSE, LONGEST_PAUSE = 0.2, 2.0  # seconds between two attempts
PROVEN = 10.0  # seconds after which a forward has worked
LONGEST_LINE = 300
_ORDINARY = re.compile(r"Forwarding from |Handling connection for ")
# kubectl says this, and goes on, where the pod of the forward has gone.
_BROKEN = re.compile(r"lost connection to pod|error forwarding port|error creating (error|forwarding) stream")


def argv(home: Home) -> Sequence[str]:
    """Return the command that starts it; -P, since the current folder may contain a package of our name."""
    return (sys.executable, "-P", "-m", __spec__.name, str(home.edge), str(home.kubectl))


async def run(folder: Path, kubectl: Path) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    tasks: dict[Forward, asyncio.Task[None]] = {}
    while not stopping.is_set():
        with contextlib.suppress(SandboxError):  # a damaged route; what was forwarded before still is
            forwards = set(routes.forwards(folder))
            for gone in tasks.keys() - forwards:
                tasks.pop(gone).cancel()
            for new in forwards - tasks.keys():
                tasks[new] = asyncio.create_task(_keep(new, kubectl))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL):
                await stopping.wait()
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)


async def _keep(forward: Forward, kubectl: Path) -> None:
    pause, logged = PAUSE, ""
    while True:
        if Path(forward.kubeconfig).exists():  # else the cluster is still being made
            since = time.monotonic()
            try:
                logged = await _forward(forward, kubectl, logged)
            except (SandboxError, OSError) as error:
                log.warning("%s: %s", forward.target, error)
            pause = PAUSE if time.monotonic() - since > PROVEN else min(2 * pause, LONGEST_PAUSE)
        await asyncio.sleep(pause)


async def _forward(forward: Forward, kubectl: Path, logged: str) -> str:
    """Run kubectl until it does not work any more; return its last message, which is not logged twice in a row."""
    async with process.attend(_argv(forward, kubectl)) as lines:
        while line := (await lines.readline()).decode(errors="replace").strip():
            if not _ORDINARY.match(line) and line != logged:
                logged = line
                log.warning("%s in %s: %s", forward.target, forward.namespace, line[:LONGEST_LINE])
            if _BROKEN.search(line):
                break
    return logged


def _argv(forward: Forward, kubectl: Path) -> Sequence[str]:
    # Even if this process is killed, kubectl must not stay behind (setpriv of util-linux).
    leash = ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []
    return [
        *leash,
        str(kubectl),
        f"--kubeconfig={forward.kubeconfig}",
        f"--namespace={forward.namespace}",
        "port-forward",
        f"--address={LOOPBACK}",
        forward.target,
        f"{forward.local}:{forward.port}",
    ]


def main() -> None:
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.chdir("/")
    os.umask(0o077)
    asyncio.run(run(Path(sys.argv[1]), Path(sys.argv[2])))


if __name__ == "__main__":
    main()
