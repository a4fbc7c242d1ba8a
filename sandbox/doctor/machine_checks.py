"""Checks of the engine and of this machine: what they can do, disk, kernel limits, proxies, modes of files."""

import platform
import shlex
import shutil
import stat
from pathlib import Path
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from sandbox.components.network import proxy_settings
from sandbox.doctor.check import Check, DoctorContext, Finding, error, failed, ok, skipped, warn
from sandbox.engine import endpoint, engine_limits
from sandbox.errors import SandboxError
from sandbox.system import files, inotify

GIB = 1 << 30
CPUS = 2
MEMORY, COMFORTABLE_MEMORY = 2 * GIB, 4 * GIB
DISK, COMFORTABLE_DISK = 3 * GIB, 10 * GIB
SPARE = 8  # inotify instances
OTHERS = 0o077
ELSEWHERE = "the engine runs on another machine or in a virtual one, which has a disk and a kernel of its own"


def engine(context: DoctorContext) -> Finding:
    if isinstance(context.docker, SandboxError):
        return failed(context.docker)
    facts = context.docker.facts()
    name = "Podman" if facts.podman else "Docker Engine"
    root = "rootless" if facts.rootless else "rootful"
    evidence = f"{name} {facts.version}, API {facts.api}, {root}, cgroup v{facts.cgroup_version}, {facts.system}"
    place = endpoint.find(context.environment)
    if not (facts.local or place.is_here):
        elsewhere = f"it runs on {place.host}, and ports that it publishes on 127.0.0.1 are there, not here"
        return error(f"{evidence}; {elsewhere}", "unset DOCKER_HOST, or docker context use default")
    refusal = engine_limits.refusal(facts) if context.spec.cluster.supports.whole_cluster else None
    return error(f"{evidence}: {refusal.brief}", refusal.fix) if refusal else ok(evidence)


def resources(context: DoctorContext) -> Finding:
    if not context.spec.cluster.supports.whole_cluster:
        return skipped(f"the provider is {context.spec.cluster.provider}: its nodes are not this engine's")
    facts = context.engine.facts()
    evidence = f"{facts.cpus} CPUs, {facts.memory / GIB:.1f} GiB of memory"
    if facts.memory < MEMORY:
        return error(f"{evidence}; a cluster needs {MEMORY // GIB} GiB")
    if facts.memory < COMFORTABLE_MEMORY or facts.cpus < CPUS:
        return warn(f"{evidence}; {COMFORTABLE_MEMORY // GIB} GiB and {CPUS} CPUs leave room for applications")
    return ok(evidence)


def disk(context: DoctorContext) -> Finding:
    facts = context.engine.facts()
    if not facts.local or _is_elsewhere(context):
        return skipped(ELSEWHERE)
    root = next(folder for folder in (facts.root, *facts.root.parents) if files.is_dir(folder))
    free, place = shutil.disk_usage(root).free, str(facts.root)
    evidence = f"{free / GIB:.1f} GiB free on {place}"
    if free < DISK:
        return error(f"{evidence}; {DISK // GIB} are needed")
    return warn(evidence) if free < COMFORTABLE_DISK else ok(evidence)


def watches(context: DoctorContext) -> Finding:
    if _is_elsewhere(context):
        return skipped(ELSEWHERE)
    try:
        limits, used = inotify.limits(), inotify.used()
    except OSError:
        return skipped("only Linux has inotify limits")
    evidence = ", ".join(f"{name} {value}" for name, value in limits.items())
    evidence += f", of which {used} are in use" if used else ""
    if used > limits["max_user_instances"] - SPARE:
        return error(evidence)
    return warn(evidence) if any(limits[name] < least for name, least in inotify.LEAST.items()) else ok(evidence)


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
    spared = ",".join(("localhost", "127.0.0.1", f".{context.spec.domain}"))
    # Two commands: a shell sets nothing before it has read all words of one.
    fix = f'export NO_PROXY="${{no_proxy:-$NO_PROXY}},{spared}"; export no_proxy="$NO_PROXY"'
    return warn(f"{where}, also for {', '.join(lost)}", fix)


def own_files(context: DoctorContext) -> Finding:
    exposed = _exposed(context)
    if not exposed:
        return ok("the sandbox's files and your kubeconfig are readable for their user only")
    evidence = ", ".join(f"{path} has mode {mode:04o}" for path, mode in exposed.items())
    return error(evidence, f"chmod go= {shlex.join(map(str, exposed))}")


def close_files(context: DoctorContext) -> None:
    for path, mode in _exposed(context).items():
        path.chmod(mode & ~OTHERS)


def _exposed(context: DoctorContext) -> dict[Path, int]:
    # KUBECONFIG may be a device such as /dev/null, which everyone has to write to.
    paths = [path for path in (context.home.state, context.home.kubeconfig) if path.is_dir() or path.is_file()]
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in paths}
    return {path: mode for path, mode in modes.items() if mode & OTHERS}


def _is_elsewhere(context: DoctorContext) -> bool:
    if isinstance(context.docker, SandboxError):
        return False
    facts, shares = context.docker.facts(), context.docker.shares_network()
    if shares is None:
        return facts.kernel not in ("", platform.release())
    # An engine without root has a network of its own, and its files here.
    return not shares and not (facts.rootless and facts.root.exists())


CHECKS = (
    Check("engine.reachable", "a Docker Engine answers and can run nodes", "sudo systemctl start docker", engine),
    Check(
        "engine.resources",
        "the engine has enough CPUs and memory for a cluster",
        "give the engine's machine more (Docker Desktop: Settings, Resources), or stop other containers",
        resources,
    ),
    Check(
        "machine.disk.engine",
        "the engine's disk has free space",
        "docker system df shows what uses it; docker builder prune and docker image prune free some",
        disk,
    ),
    Check(
        "machine.inotify",
        "the kernel's inotify limits are high enough",
        inotify.RAISE,
        watches,
        lambda _: inotify.raise_limits(),
    ),
    Check("machine.proxy", "the environment's proxy is not used for the sandbox", "add the hosts to NO_PROXY", proxy),
)
OWN_FILES = Check(
    "files.own",
    "the sandbox's files and your kubeconfig are readable for you only",
    "chmod go= ~/.local/state/sandbox ~/.kube/config",
    own_files,
    close_files,
)
