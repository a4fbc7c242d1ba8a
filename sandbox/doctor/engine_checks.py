"""What is wrong with the Docker Engine itself: absent, old, far away, short of room, or of another time."""

from __future__ import annotations

from urllib.parse import urlsplit

from sandbox.doctor.check import Check, Finding, error, failed, ok, skipped, warn, with_engine
from sandbox.doctor.doctor_context import DoctorContext
from sandbox.errors import SandboxError

CPUS = 2
MEMORY = 2 << 30
COMFORT = 4 << 30
SKEW = 30.0


def reachable(context: DoctorContext) -> Finding:
    """Whether it answers, and as what."""
    if isinstance(context.docker, SandboxError):
        return failed(context.docker)
    facts = context.docker.facts
    kind = "rootless" if facts.rootless else "rootful"
    return ok(f"Docker Engine {facts.version}, API {facts.api}, {kind}, {facts.system or 'system unknown'}")


def local(context: DoctorContext) -> Finding:
    """Whether its loopback is this machine's."""
    facts = with_engine(context).facts
    if facts.local:
        return ok("reached through a socket of this machine")
    # A URL may carry a password.
    where = urlsplit(context.environment.get("DOCKER_HOST", "")).hostname or "the docker context's host"
    return error(f"the engine runs on {where}: what it publishes on 127.0.0.1 is there, not here")


def hardened(context: DoctorContext) -> Finding:
    """Whether published ports are for this machine only."""
    facts = with_engine(context).facts
    version = facts.version
    if facts.is_hardened:
        return ok(f"{version} drops packets to loopback ports that come from outside")
    return warn(f"{version} lets neighbours on the same network segment probe_engine ports published on 127.0.0.1")


def cgroups(context: DoctorContext) -> Finding:
    """Which control groups it has."""
    version = with_engine(context).facts.cgroup_version
    return ok("cgroup v2") if version == 2 else warn(f"cgroup v{version}: Kubernetes 1.35 and newer run there if told")


def resources(context: DoctorContext) -> Finding:
    """Whether a cluster fits."""
    facts = with_engine(context).facts
    evidence = f"{facts.cpus} CPUs, {facts.memory / (1 << 30):.1f} GiB of memory"
    if facts.memory < MEMORY:
        return error(evidence + f"; a cluster needs {MEMORY >> 30} GiB")
    if facts.memory < COMFORT or facts.cpus < CPUS:
        return warn(evidence + f"; {COMFORT >> 30} GiB and {CPUS} CPUs leave room for applications")
    return ok(evidence)


def clock(context: DoctorContext) -> Finding:
    """Whether the nodes' clock, which is the engine's, is this machine's."""
    docker = with_engine(context)
    if docker.facts.time is None:
        return skipped("the engine does not tell its time")
    skew = abs((docker.facts.time - docker.asked).total_seconds())
    evidence = f"the engine's clock and this machine's are {skew:.0f} s apart"
    return (
        ok(evidence)
        if skew <= SKEW
        else error(evidence + "; certificates are valid from one hour before they are made")
    )


def proxy(context: DoctorContext) -> Finding:
    """Whether the engine pulls through a proxy."""
    proxies = with_engine(context).facts.proxies
    used = {name: value for name, value in proxies.items() if name != "no"}
    if not used:
        return ok("the engine uses no proxy")
    hosts = ", ".join(f"{name} via {urlsplit(value).hostname}" for name, value in sorted(used.items()))
    exempt = {word.strip() for word in proxies.get("no", "").split(",")}
    if {"localhost", "127.0.0.1"} & exempt:
        return ok(f"{hosts}, not for localhost")
    return warn(f"{hosts}, also for localhost: pulls from the sandbox's registry would go there")


CHECKS = (
    Check("engine.reachable", "a Docker Engine answers and is new enough", "sudo systemctl start docker", reachable),
    Check("engine.local", "the engine runs on this machine", "unset DOCKER_HOST, or docker context use default", local),
    Check(
        "engine.hardened", "the engine keeps neighbours from loopback ports", "upgrade to Docker Engine 28", hardened
    ),
    Check(
        "engine.cgroups",
        "containers get cgroup v2",
        "boot with systemd.unified_cgroup_hierarchy=1; until then the sandbox tells Kubernetes to run on v1",
        cgroups,
    ),
    Check(
        "engine.resources",
        "the engine has the CPUs and the memory for a cluster",
        "give the engine's machine more (Docker Desktop: Settings, Resources), or stop other containers",
        resources,
    ),
    Check(
        "engine.clock",
        "the engine's clock is this machine's",
        "restart the engine's virtual machine, or turn on time synchronization (timedatectl set-ntp true)",
        clock,
    ),
    Check(
        "engine.proxy",
        "the engine's own proxy spares localhost",
        'add localhost,127.0.0.1 to "no-proxy" under "proxies" in /etc/docker/daemon.json and restart the engine',
        proxy,
    ),
)
