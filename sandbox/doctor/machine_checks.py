"""Checks of this machine: disks, kernel limits, proxy variables, modes of the user's files."""

from __future__ import annotations

import shlex
import shutil
import stat
from pathlib import Path
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from sandbox.components.network import proxy_settings
from sandbox.doctor.check import Check, Finding, Status, error, ok, skipped, warn, with_engine
from sandbox.doctor.doctor_context import DoctorContext, EngineProbe
from sandbox.plan import providers
from sandbox.system import files, inotify

GIB = 1 << 30
OTHERS = 0o077
SPARE = 8  # inotify instances; a node needs about 25
ELSEWHERE = "the engine runs on another machine or in a virtual one, which has a disk and a kernel of its own"


def engine_disk(context: DoctorContext) -> Finding:
    docker = with_engine(context)
    if docker.facts.local and not _is_elsewhere(context):
        return _room(docker.facts.root, needed=3 * GIB, comfort=10 * GIB)
    said = _in_node(context, "df", "-Pk", "/var").splitlines()[1:]
    if not said:
        return skipped(ELSEWHERE)
    free = int(said[0].split()[3]) << 10
    return _judged(free, f"{free / GIB:.1f} GiB free on the engine's machine", needed=3 * GIB, comfort=10 * GIB)


def own_disk(context: DoctorContext) -> Finding:
    rooms = [_room(path, needed=GIB // 4, comfort=GIB) for path in (context.home.cache, context.home.state)]
    return max(rooms, key=lambda one: (one.status is Status.ERROR, one.status is Status.WARN))


def watches(context: DoctorContext) -> Finding:
    if _is_elsewhere(context):
        said = _in_node(context, "cat", *(str(inotify.SYSCTL / name) for name in inotify.LEAST)).split()
        if len(said) != len(inotify.LEAST):
            return skipped(ELSEWHERE)
        found, used = dict(zip(inotify.LEAST, map(int, said), strict=True)), 0
    else:
        try:
            found = inotify.limits()
        except OSError:
            return skipped("only Linux has inotify limits")
        used = inotify.used()
    evidence = ", ".join(f"{name} {value}" for name, value in found.items())
    evidence += f", of which {used} are in use" if used else ""
    if used > found["max_user_instances"] - SPARE:
        return error(evidence)
    return warn(evidence) if any(found[name] < least for name, least in inotify.LEAST.items()) else ok(evidence)


def raise_limits(context: DoctorContext) -> None:
    """Raise inotify limits that are too low, of this machine only. Raises OSError without the right to."""
    if not _is_elsewhere(context):
        inotify.raise_limits()


def proxy(context: DoctorContext) -> Finding:
    proxies = {
        name.lower().removesuffix("_proxy"): value
        for name, value in sorted(context.environment.items())  # the lower-case one wins, and comes last
        if name.lower().endswith("_proxy") and value
    }
    used = [name for name in ("http", "https", "all") if name in proxies]
    if not used:
        return ok("the environment has no proxy")
    if faults := [*proxy_settings.faults(context.environment, used)]:
        return warn("; ".join(faults), "name a proxy that there is, or unset the variable")
    where = ", ".join(f"{name} via {proxy_settings.shown(proxies[name])}" for name in used)
    hosts = ("localhost", "127.0.0.1", context.spec.domain, f"app.{context.spec.domain}")
    lost = [host for host in hosts if not proxy_bypass_environment(host, proxies)]
    if not lost:
        return ok(f"{where}, not for the sandbox's hosts")
    wanted = ",".join(("localhost", "127.0.0.1", f".{context.spec.domain}"))
    # Two commands: a shell sets nothing before it has read all words of one.
    fix = f'export NO_PROXY="${{no_proxy:-$NO_PROXY}},{wanted}"; export no_proxy="$NO_PROXY"'
    return warn(f"{where}, also for {', '.join(lost)}", fix)


def state_folder(context: DoctorContext) -> Finding:
    folder = context.home.state
    if not folder.exists():
        return skipped("it does not exist yet")
    mode = stat.S_IMODE(folder.stat().st_mode)
    fix = f"chmod 700 {shlex.quote(str(folder))}"
    return (
        error(f"{folder} has mode {mode:04o}", fix) if mode & OTHERS else ok(f"{folder} is readable for its user only")
    )


def kubeconfig(context: DoctorContext) -> Finding:
    path = context.home.kubeconfig
    if not path.exists():
        return skipped("it does not exist")
    if not path.is_file():  # such as /dev/null, which everyone has to write to
        return skipped(f"{path} is not a regular file")
    mode = stat.S_IMODE(path.stat().st_mode)
    fix = f"chmod 600 {shlex.quote(str(path))}"
    return warn(f"{path} has mode {mode:04o}", fix) if mode & OTHERS else ok(f"{path} is readable for its user only")


def _is_elsewhere(context: DoctorContext) -> bool:
    if not isinstance(context.docker, EngineProbe) or context.docker.engine.shares_network() is not False:
        return False
    # One without root has a network of its own, and its files here.
    return not (context.docker.facts.rootless and context.docker.facts.root.exists())


def _in_node(context: DoctorContext, *argv: str) -> str:
    engine, name = with_engine(context).engine, providers.control_plane(context.names)
    node = engine.container(name) if name else None
    if node is None or not node.running:
        return ""
    status, said = engine.execute(node.name, argv)
    return said if status == 0 else ""


def _room(path: Path, *, needed: int, comfort: int) -> Finding:
    there = next(place for place in (path, *path.parents) if files.is_dir(place))
    free = shutil.disk_usage(there).free
    return _judged(free, f"{free / GIB:.1f} GiB free at {path}", needed=needed, comfort=comfort)


def _judged(free: int, evidence: str, *, needed: int, comfort: int) -> Finding:
    if free < needed:
        return error(evidence + f"; {needed / GIB:g} are needed")
    return warn(evidence) if free < comfort else ok(evidence)


CHECKS = (
    Check(
        "machine.disk.engine",
        "the engine's disk has free space",
        "docker system df shows what uses it; docker builder prune and docker image prune free some",
        engine_disk,
    ),
    Check(
        "machine.disk.own",
        "the disk of the sandbox's folders has free space",
        "free some space in your home folder",
        own_disk,
    ),
    Check(
        "machine.inotify",
        "the kernel's inotify limits are high enough",
        inotify.RAISE,
        watches,
        raise_limits,
    ),
    Check("machine.proxy", "the environment's proxy is not used for the sandbox", "add the hosts to NO_PROXY", proxy),
)
OWN_FILES = (
    Check(
        "files.own",
        "the sandbox's files are readable for their user only",
        "chmod 700 ~/.local/state/sandbox",
        state_folder,
        lambda context: files.make_private_dir(context.home.state),
    ),
    Check(
        "files.kubeconfig",
        "your kubeconfig is readable for you only",
        "chmod 600 ~/.kube/config",
        kubeconfig,
        lambda context: context.home.kubeconfig.chmod(0o600),
    ),
)
