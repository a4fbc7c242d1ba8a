"""What of this machine can keep a cluster from starting: full disks, kernel limits, missing capabilities, a proxy."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from sandbox.doctor.check import Check, Finding, error, ok, skipped, warn, with_engine
from sandbox.doctor.doctor_context import DoctorContext, EngineProbe
from sandbox.system import files

GIB = 1 << 30
INOTIFY = {"max_user_watches": 65_536, "max_user_instances": 128}
ADVISED = {"max_user_watches": 524_288, "max_user_instances": 512}
SYSCTL = Path("/proc/sys/fs/inotify")
PROCESSES, INSTANCE = Path("/proc"), Path("anon_inode:inotify")
ROOT = 0  # whose the processes of nodes are, and so their instances
SPARE = 8  # instances; with fewer left no node starts: one takes about 25
CAREFUL = "available-caps"  # what scripts/engine installs
OTHERS = 0o077
STATUS = Path("/proc/self/status")
LAST_CAPABILITY = Path("/proc/sys/kernel/cap_last_cap")


def engine_disk(context: DoctorContext) -> Finding:
    """The room for images, layers and the registry's data."""
    facts = with_engine(context).facts
    if not facts.local or "Docker Desktop" in facts.system:
        return skipped("the engine's disk is not this machine's")
    return _room(facts.root, needed=3 * GIB, comfort=10 * GIB)


def own_disk(context: DoctorContext) -> Finding:
    """The room for the bundle, the state and the log."""
    rooms = [_room(path, needed=GIB // 4, comfort=GIB) for path in (context.home.state, context.home.cache)]
    return next((one for one in rooms if one.status.value != "ok"), rooms[-1])


def inotify(context: DoctorContext) -> Finding:
    """The kernel's limits on watched files, which kubelet, containerd and every controller draw on."""
    try:
        found = {name: int((SYSCTL / name).read_text(encoding="utf-8")) for name in INOTIFY}
    except OSError:
        return skipped("only Linux has these limits")
    used = sum(one == INSTANCE for one in _open_files())
    evidence = ", ".join(f"{name} {value}" for name, value in found.items())
    evidence += f", of which {used} are in use" if used else ""
    if used > found["max_user_instances"] - SPARE:
        return error(evidence)
    return warn(evidence) if any(found[name] < least for name, least in INOTIFY.items()) else ok(evidence)


def _open_files() -> Iterator[Path]:
    """What root's processes have open, as far as this user may see it, which only root may."""
    for process in PROCESSES.glob("[0-9]*"):
        with suppress(OSError):  # gone meanwhile, or not to be seen
            if process.stat().st_uid == ROOT:
                for file in (process / "fd").iterdir():
                    with suppress(FileNotFoundError):
                        yield file.readlink()


def raise_inotify(context: DoctorContext) -> None:
    """Set the limits that are too low, until the machine starts anew. Raises OSError for who may not."""
    for name, advised in ADVISED.items():
        if int((SYSCTL / name).read_text(encoding="utf-8")) < advised:
            (SYSCTL / name).write_text(f"{advised}\n", encoding="utf-8")


def capabilities(context: DoctorContext) -> Finding:
    """Whether a privileged container, which a node is, can have every capability that it asks for."""
    try:
        words = dict(line.split(":\t", 1) for line in STATUS.read_text(encoding="utf-8").splitlines() if ":\t" in line)
        held, last = int(words["CapBnd"], 16), int(LAST_CAPABILITY.read_text(encoding="utf-8"))
    except (OSError, KeyError):
        return skipped("only Linux has capabilities")
    missing = [number for number in range(last + 1) if not held >> number & 1]
    if not missing:
        return ok(f"all {last + 1} in the bounding set")
    evidence = f"this machine lacks the capability {', '.join(map(str, missing))}"
    if isinstance(context.docker, EngineProbe) and context.docker.facts.runtime == CAREFUL:
        return ok(f"{evidence}, and the engine's runtime {CAREFUL} asks only for those there are")
    return warn(f"{evidence}: an engine started here cannot give it to a node")


def proxy(context: DoctorContext) -> Finding:
    """Whether programs of this user would ask a company's proxy for the sandbox's own hosts."""
    proxies = {
        name.lower().removesuffix("_proxy"): value
        for name, value in sorted(context.environment.items())  # the lower-case one counts, and comes last
        if name.lower().endswith("_proxy") and value
    }
    used = [name for name in ("http", "https", "all") if name in proxies]
    if not used:
        return ok("the environment names no proxy")
    where = ", ".join(f"{name} via {urlsplit(proxies[name]).hostname or 'an unreadable address'}" for name in used)
    hosts = ("localhost", "127.0.0.1", context.spec.domain, f"app.{context.spec.domain}")
    lost = [host for host in hosts if not proxy_bypass_environment(host, proxies)]
    if not lost:
        return ok(f"{where}; not for the sandbox's hosts")
    wanted = ",".join(("localhost", "127.0.0.1", f".{context.spec.domain}"))
    return warn(f"{where}, also for {', '.join(lost)}", f'export NO_PROXY="$NO_PROXY,{wanted}" no_proxy="$NO_PROXY"')


def state_folder(context: DoctorContext) -> Finding:
    """The folder with keys, logs and locks: who cannot enter it reads none of them."""
    folder = context.home.state
    if not folder.exists():
        return skipped("there is none yet")
    mode = stat.S_IMODE(folder.stat().st_mode)
    return error(f"{folder} has mode {mode:04o}") if mode & OTHERS else ok(f"{folder} is for its user alone")


def kubeconfig(context: DoctorContext) -> Finding:
    """The user's kubeconfig, which lets whoever reads it into every cluster that it names."""
    path = context.home.kubeconfig
    if not path.exists():
        return skipped("there is none")
    mode = stat.S_IMODE(path.stat().st_mode)
    fix = f"chmod 600 {path}"
    return warn(f"{path} has mode {mode:04o}", fix) if mode & OTHERS else ok(f"{path} is for its user alone")


def _close_state(context: DoctorContext) -> None:
    files.make_private_dir(context.home.state)


def _close_kubeconfig(context: DoctorContext) -> None:
    context.home.kubeconfig.chmod(0o600)


def _room(path: Path, *, needed: int, comfort: int) -> Finding:
    there = next(place for place in (path, *path.parents) if place.exists())
    free = shutil.disk_usage(there).free
    evidence = f"{free / GIB:.1f} GiB free at {path}"
    if free < needed:
        return error(evidence + f", needed are {needed / GIB:g}")
    return warn(evidence) if free < comfort else ok(evidence)


CHECKS = (
    Check(
        "machine.disk.engine",
        "the engine's disk has room",
        "docker system df tells what takes it; docker builder prune and docker image prune free some",
        engine_disk,
    ),
    Check("machine.disk.own", "the sandbox's folders have room", "free some space in your home folder", own_disk),
    Check(
        "machine.inotify",
        "the kernel's limits on watched files suffice",
        "sudo sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512",
        inotify,
        raise_inotify,
    ),
    Check(
        "machine.capabilities",
        "a node can have every capability",
        "scripts/engine installs a runtime that asks only for those there are",
        capabilities,
    ),
    Check("machine.proxy", "the environment's proxy spares the sandbox", "add the hosts to NO_PROXY", proxy),
)
OWN_FILES = (
    Check(
        "files.own",
        "the sandbox's files are for their user alone",
        "chmod 700 ~/.local/state/sandbox",
        state_folder,
        _close_state,
    ),
    Check(
        "files.kubeconfig",
        "your kubeconfig is for you alone",
        "chmod 600 ~/.kube/config",
        kubeconfig,
        _close_kubeconfig,
    ),
)
