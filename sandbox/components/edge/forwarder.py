"""The `kubectl port-forward`s to clusters that containers cannot reach, kept running by one process of the user.

They are kubectl's, because the Python client's own forward reads as fast as the cluster sends, however slow its reader
is, and waits with select(), which ends at 1024 open files. A forward is bound to one pod; after the pod's end kubectl
ends too, or reports errors, and its successor finds the next pod.
"""

import asyncio
import contextlib
import logging
import os
import re
import shutil
import signal
import sys
from pathlib import Path

from sandbox.components.edge import routes
from sandbox.components.edge.route import LOOPBACK, REGISTRY, Forward
from sandbox.errors import SandboxError
from sandbox.names import Home
from sandbox.system import daemon, files, host_network, process
from sandbox.system.process import last_lines
from sandbox.system.wait import WaitTimeout, wait_until

TIMEOUT = 30.0  # seconds until a forward accepts connections
POLL = 0.2  # seconds between two looks at the routes
PAUSE = 1.0  # seconds between two attempts
_ORDINARY = re.compile(r"Forwarding from |Handling connection for ")
# kubectl says this, and goes on, where the pod of the forward has gone.
_BROKEN = re.compile(r"lost connection to pod|error forwarding port|error creating (error|forwarding) stream")

_log = logging.getLogger(__name__)


def follow(home: Home) -> None:
    """Start the process if a route needs a forward, and end it if none does."""
    record = _record(home)
    if not routes.forwards(home.edge):
        if daemon.end(record):
            log(home).unlink(missing_ok=True)
            home.kubectl.unlink(missing_ok=True)
    elif daemon.find(record) is None:
        files.make_private_dir(home.forwards)
        # -P, since the current folder may contain a package of our name.
        argv = (sys.executable, "-P", "-m", __name__, str(home.edge), str(home.kubectl))
        daemon.start(argv, log_to=log(home), record=record)


def use(home: Home, kubectl: Path) -> None:
    """Have the process run this program, by a link named `kubectl`: the bundle's program goes by its name."""
    files.make_private_dir(home.forwards)
    home.kubectl.unlink(missing_ok=True)
    home.kubectl.symlink_to(kubectl)


def wait(home: Home, sandbox: str) -> None:
    """Return when the sandbox's registry is reached, if by a forward. Raises SandboxError with kubectl's output."""
    try:
        wait_until(lambda: trouble(home, sandbox), what="kubectl port-forward", timeout=TIMEOUT, pause=0.1)
    except WaitTimeout as error:
        output = (files.content(log(home)) or b"").decode(errors="replace")
        raise SandboxError(
            "the cluster is not reached by kubectl port-forward",
            details=f"{error.details}\n{last_lines(output)}".strip(),
            fix="see that kubectl port-forward works for your account; docs/existing.md has the rights that it needs",
            id="port-forward",
        ) from error


def trouble(home: Home, sandbox: str) -> str | None:
    """Return why the sandbox's forwards do not work, or None; the ingress and Services may come later."""
    forwards = routes.forwards(home.edge, sandbox)
    if not forwards:
        return None
    if daemon.find(_record(home)) is None:
        return f"has no process for port-forwards; its log is {log(home)}"
    down = (each for each in forwards if each.name == REGISTRY and host_network.is_free(LOOPBACK, each.local))
    return next((f"does not reach {each.target} in {each.namespace}" for each in down), None)


def log(home: Home) -> Path:
    return home.forwards / "forwards.log"


def _record(home: Home) -> Path:
    return home.forwards / "process.json"


async def _run(folder: Path, kubectl: Path) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    tasks: dict[Forward, asyncio.Task[None]] = {}
    while not stopping.is_set():
        with contextlib.suppress(SandboxError):  # a damaged route; what was forwarded before still is
            forwards = set(routes.forwards(folder))
            for gone in tasks.keys() - forwards:
                tasks.pop(gone).cancel()
            for new in forwards - tasks.keys():
                tasks[new] = asyncio.create_task(_keep(new, kubectl))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), POLL)
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)


async def _keep(forward: Forward, kubectl: Path) -> None:
    # Even if this process is killed, kubectl must not stay behind (setpriv of util-linux).
    leash = ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []
    options = [f"--kubeconfig={forward.kubeconfig}", f"--namespace={forward.namespace}"]
    ports = f"{forward.local}:{forward.port}"
    argv = [*leash, str(kubectl), *options, "port-forward", f"--address={LOOPBACK}", forward.target, ports]
    logged = ""
    while True:
        if Path(forward.kubeconfig).exists():  # else the cluster is still being made
            try:
                async with process.attend(argv) as lines:
                    while line := (await lines.readline()).decode(errors="replace").strip():
                        if not _ORDINARY.match(line) and line != logged:
                            logged = line
                            _log.warning("%s in %s: %s", forward.target, forward.namespace, line[:300])
                        if _BROKEN.search(line):
                            break
            except (SandboxError, OSError) as error:
                _log.warning("%s: %s", forward.target, error)
        await asyncio.sleep(PAUSE)


def main() -> None:
    """`python -m sandbox.components.edge.forwarder FOLDER KUBECTL`: run the port-forwards of the routes in FOLDER."""
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.chdir("/")
    os.umask(0o077)
    asyncio.run(_run(Path(sys.argv[1]), Path(sys.argv[2])))


if __name__ == "__main__":
    main()
