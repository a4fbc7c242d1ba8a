"""What there is to say of sandboxes: which ones there are, and where one of them is reached and by whom."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sandbox.app import chosen_spec, context
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.cluster import kubeconfig
from sandbox.components.edge import routes
from sandbox.components.edge.lan_access import Access, access, reachable, urls, warning
from sandbox.components.ingress.default_backend import hosts_of
from sandbox.config.schema import ResolvedSpec
from sandbox.engine import Engine, labelled
from sandbox.kube.api import Cluster
from sandbox.names import LABEL
from sandbox.plan import providers


@dataclass(frozen=True)
class Exposure:
    """Who else than this machine reaches a sandbox: those that it is open to, and neighbours that it is not meant for.

    `urls` are the addresses for others; `warning` and `neighbours` are sentences, empty where there is nothing to say.
    """

    access: Access
    urls: tuple[str, ...]
    warning: str
    neighbours: str


@dataclass(frozen=True)
class Addresses:
    """Where a sandbox is reached; `context` is None where the user's kubeconfig does not have it."""

    hosts: tuple[str, ...]
    ports: tuple[int, ...]
    exposure: Exposure
    registry: str
    context: str | None
    kubeconfig: Path
    root_certificate: Path

    def urls(self, host: str) -> tuple[str, ...]:
        """The addresses of a host, the first port's first."""
        return tuple(f"https://{host}{'' if port == 443 else f':{port}'}/" for port in self.ports)


def exposure(spec: ResolvedSpec, hosts: tuple[str, ...], engine: Engine) -> Exposure:
    """Find who else than this machine reaches `hosts` of the sandbox. Raises SandboxError."""
    found = access(spec, Keystore(context.home().sandbox(spec.name).keys))
    # An existing cluster's ports are those of processes of this machine.
    neighbours = reachable(spec, engine.facts()) if spec.cluster.is_ours else ""
    outside = tuple(urls(found, spec, hosts)) if found.open else ()
    return Exposure(found, outside, warning(found, spec) if found.open else "", neighbours)


def addresses(spec: ResolvedSpec) -> Addresses:
    """Find where a sandbox that is up is reached. Raises SandboxError."""
    home = context.home()
    names = home.sandbox(spec.name)
    served = hosts_of(Cluster(names.kubeconfig).list("networking.k8s.io/v1", "Ingress", spec.namespace))
    hosts = tuple(served) or (spec.domain,)
    merged = kubeconfig.holds(home.kubeconfig, names.cluster, names.kubeconfig)
    return Addresses(
        hosts=hosts,
        ports=spec.proxy.ports,
        exposure=exposure(spec, hosts, Engine.connect()),
        registry=spec.registry.address,
        context=names.cluster if merged else None,
        kubeconfig=names.kubeconfig,
        root_certificate=names.root_certificate,
    )


@dataclass(frozen=True)
class Known:
    """A sandbox of this machine; `cluster` is the state of its nodes, or `existing`."""

    name: str
    cluster: str
    domain: str


def sandboxes() -> tuple[Known, ...]:
    """List the sandboxes of this machine, by name: those with a container or a route. Raises SandboxError."""
    home, engine = context.home(), Engine.connect()
    known = {route.name: route.domain for folder in (home.edge, home.passthrough) for route in routes.load(folder)}
    ours = labelled.containers(engine, home)
    names = sorted({one.labels[LABEL] for one in ours if one.labels[LABEL]} | known.keys())
    found = []
    for name in names:
        spec = chosen_spec.remembered(name)
        abroad = spec is not None and not spec.cluster.is_ours
        state = "existing" if abroad else providers.nodes(engine, home.sandbox(name)).standing().value
        found.append(Known(name, state, known.get(name, "")))
    return tuple(found)
