"""Checks of the Docker Engine: missing, old, on another machine, too small, or with a wrong clock."""

from __future__ import annotations

from pathlib import Path
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from sandbox.components.network import proxy_settings
from sandbox.doctor.check import Check, Finding, error, failed, ok, skipped, warn, with_engine
from sandbox.doctor.doctor_context import DoctorContext
from sandbox.engine import endpoint, engine_limits
from sandbox.errors import SandboxError
from sandbox.plan import used_engine

CPUS = 2
MEMORY = 2 << 30
COMFORT = 4 << 30
DAY = 86400.0  # seconds
SKEW = 30.0


def reachable(context: DoctorContext) -> Finding:
    if isinstance(context.docker, SandboxError):
        return failed(context.docker)
    facts = context.docker.facts
    if facts.podman and context.spec.cluster.supports.whole_cluster and (refusal := engine_limits.refusal(facts)):
        return failed(refusal)
    kind = "rootless" if facts.rootless else "rootful"
    name = "Podman" if facts.podman else "Docker Engine"
    return ok(f"{name} {facts.version}, API {facts.api}, {kind}, {facts.system or 'system unknown'}")


def local(context: DoctorContext) -> Finding:
    if with_engine(context).facts.local:
        return ok("reached through a socket of this machine")
    place = endpoint.find(context.environment, Path.home())
    if place.is_here:
        return ok(f"reached at {place.host} of this machine (by {place.origin})")
    return error(f"the engine runs on {place.host}: ports that it publishes on 127.0.0.1 are there, not here")


def used(context: DoctorContext) -> Finding:
    with_engine(context)
    before = used_engine.other(context.names)
    if before is None:
        return ok("the sandbox is on no other engine")
    return error(f"it was brought up on {before}", used_engine.remedy(context.names, before))


def cgroups(context: DoctorContext) -> Finding:
    if not context.spec.cluster.supports.whole_cluster:
        return skipped(f"the provider is {context.spec.cluster.provider}: its nodes are not this engine's")
    facts = with_engine(context).facts
    if not facts.podman and (refusal := engine_limits.refusal(facts)):
        return failed(refusal)
    version = facts.cgroup_version
    return (
        ok("cgroup v2") if version == 2 else warn(f"cgroup v{version}: Kubernetes 1.35 and newer need a setting for it")
    )


def resources(context: DoctorContext) -> Finding:
    if not context.spec.cluster.supports.whole_cluster:
        return skipped(f"the provider is {context.spec.cluster.provider}: its nodes are not this engine's")
    facts = with_engine(context).facts
    evidence = f"{facts.cpus} CPUs, {facts.memory / (1 << 30):.1f} GiB of memory"
    if facts.memory < MEMORY:
        return error(evidence + f"; a cluster needs {MEMORY >> 30} GiB")
    if facts.memory < COMFORT or facts.cpus < CPUS:
        return warn(evidence + f"; {COMFORT >> 30} GiB and {CPUS} CPUs leave room for applications")
    return ok(evidence)


def clock(context: DoctorContext) -> Finding:
    docker = with_engine(context)
    if docker.facts.time is None:
        return skipped("the engine does not report its time")
    skew = abs((docker.facts.time - (docker.facts.asked or docker.asked)).total_seconds())
    said = f"{skew:.0f} s" if skew < 2 * DAY else f"{skew / DAY:.0f} days"
    evidence = f"the engine's clock and this machine's are {said} apart"
    return (
        ok(evidence)
        if skew <= SKEW
        else error(evidence + "; certificates are valid from one hour before they are issued")
    )


def proxy(context: DoctorContext) -> Finding:
    """Check that the engine's proxy is not used for the sandbox's registries.

    Never for those on localhost: engines are written in Go, whose HTTP client spares it (net/http,
    ProxyFromEnvironment).
    """
    proxies = with_engine(context).facts.proxies
    used = {name: value for name, value in proxies.items() if name != "no"}
    if not used:
        return ok("the engine uses no proxy")
    where = ", ".join(f"{name} via {proxy_settings.shown(value)}" for name, value in sorted(used.items()))
    lost = [host for host in context.spec.registry.tls if not proxy_bypass_environment(host, proxies)]
    if not lost:
        return ok(f"{where}, not for localhost")
    names = ",".join(dict.fromkeys(host.partition(":")[0] for host in lost))
    fix = f'add {names} to "no-proxy" under "proxies" in /etc/docker/daemon.json and restart the engine'
    return warn(f"{where}, also for {', '.join(lost)}: docker push and docker pull would go to the proxy", fix)


CHECKS = (
    Check("engine.reachable", "a Docker Engine answers and is new enough", "sudo systemctl start docker", reachable),
    Check("engine.local", "the engine runs on this machine", "unset DOCKER_HOST, or docker context use default", local),
    Check("engine.used", "the sandbox is not on another engine", "docker context use, with its engine's", used),
    Check(
        "engine.cgroups",
        "containers use cgroup v2",
        "boot with systemd.unified_cgroup_hierarchy=1; until then sandbox configures Kubernetes for v1",
        cgroups,
    ),
    Check(
        "engine.resources",
        "the engine has enough CPUs and memory for a cluster",
        "give the engine's machine more (Docker Desktop: Settings, Resources), or stop other containers",
        resources,
    ),
    Check(
        "engine.clock",
        "the engine's clock agrees with this machine's",
        "restart the engine's virtual machine, or turn on time synchronization (timedatectl set-ntp true)",
        clock,
    ),
    Check(
        "engine.proxy",
        "the engine's proxy is not used for the sandbox's registries",
        'add their hosts to "no-proxy" under "proxies" in /etc/docker/daemon.json and restart the engine',
        proxy,
    ),
)
