"""What is shown of a sandbox: its components, its addresses, and who can reach them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.app import context
from sandbox.app.core import Sandbox
from sandbox.app.edge import edge_ports
from sandbox.app.edge.edge_ports import Reached
from sandbox.app.machine_plan import keeping
from sandbox.app.session import wake_paused
from sandbox.app.views.known_sandboxes import not_up
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.cluster import kubeconfig
from sandbox.components.edge import lan_access, routes
from sandbox.components.edge.lan_access import access, warning
from sandbox.components.edge.route import Route
from sandbox.components.ingress import served_hosts, unserved
from sandbox.components.ingress.served_hosts import hosts_of_secrets
from sandbox.config.schema import ResolvedSpec
from sandbox.config.schema.values import SUBDOMAIN
from sandbox.engine import Bind, Engine
from sandbox.errors import UsageError
from sandbox.kube.api import Cluster, ServerAway
from sandbox.names import Home
from sandbox.plan import saved_spec


@dataclass(frozen=True)
class Network:
    """Who else than this machine reaches the sandbox; `warning` is a sentence, or empty."""

    open: bool
    urls: Sequence[str]
    without_certificate: Sequence[str]
    warning: str


@dataclass(frozen=True)
class Addresses:
    """The addresses of a sandbox; `context` is None where the user's kubeconfig does not have it.

    `tried` is the host to try first: if possible one for which no Ingress names a Secret of the user's, whose
    certificate may be another. `notes` say what of its Ingresses has no effect.
    """

    hosts: tuple[str, ...]
    ports: tuple[int, ...]
    network: Network
    registry: str
    context: str | None
    kubeconfig: Path
    root_certificate: Path
    tried: str
    notes: tuple[str, ...]

    def urls(self, host: str) -> tuple[str, ...]:
        return tuple(lan_access.url(host, port) for port in self.ports)


@dataclass(frozen=True)
class AnsweredHosts:
    """The hosts that a sandbox answers, and this machine's address for them.

    `others` are those that only an Ingress names and that are not in the sandbox's domain.
    """

    hosts: tuple[str, ...]
    address: str
    others: tuple[str, ...] = ()


def network(spec: ResolvedSpec, hosts: tuple[str, ...]) -> Network:
    lan = access(spec, Keystore(context.home().sandbox(spec.name).keys))
    outside = lan_access.urls(hosts, domain=spec.domain, aliases=lan.domains, port=spec.edge.ports[0])
    return Network(lan_access.is_open(spec.edge.listen), outside, lan.unvouched, warning(lan, spec))


@dataclass(frozen=True)
class StepState:
    """A component; its state is ready, absent, drifted, stale or unseen, and `detail` is for people."""

    step: str
    title: str
    state: str
    detail: str


@dataclass(frozen=True)
class SandboxStatus:
    name: str
    steps: Sequence[StepState]
    network: Network
    services: Sequence[Reached]

    @property
    def is_ready(self) -> bool:
        return all(step.state == "ready" for step in self.steps)

    @property
    def exists(self) -> bool:
        return any(step.step in ("spec", "cluster") and step.state != "absent" for step in self.steps)


def status(sandbox: Sandbox) -> SandboxStatus:
    wake_paused(sandbox.names)
    engine = Engine.connect()
    with keeping(engine, sandbox.names):
        steps = [StepState(part.name, part.title, part.state, part.detail) for part in sandbox.parts()]
        runs = any(step.step == "cluster" and step.state == "ready" for step in steps)
        services = edge_ports.reached_of(sandbox.name, context.home(), engine) if runs else ()
        reachable = network(sandbox.resolved, (f"*.{sandbox.domain}",))
    return SandboxStatus(sandbox.name, steps, reachable, services)


def addresses(spec: ResolvedSpec) -> Addresses:
    home = context.home()
    names = home.sandbox(spec.name)
    cluster = Cluster(names.kubeconfig)
    ingresses = served_hosts.ingresses(cluster, spec.namespace, with_routes=spec.ingress.gateway_api)
    hosts = unserved.hosts_here(spec, ingresses) or (spec.domain,)
    merged = kubeconfig.holds(home.kubeconfig, names.cluster, names.kubeconfig)
    return Addresses(
        hosts=hosts,
        ports=spec.edge.ports if spec.takes_https_ports else (443,),
        network=network(spec, hosts),
        registry=spec.registry.address,
        context=names.cluster if merged else None,
        kubeconfig=names.kubeconfig,
        root_certificate=context.trusted_by_clients(spec),
        tried=next((host for host in hosts if host not in hosts_of_secrets(ingresses)), hosts[0]),
        notes=tuple(unserved.notes(spec, ingresses)),
    )


def host_urls(name: str, host: str | None, *, for_others: bool) -> tuple[str, ...]:
    """Return the URL of `host`, or of every host of the sandbox `name`, which must be up. Raises SandboxError."""
    home = context.home()
    route = _route(home, name)

    def leads_here(host: str) -> bool:
        return bool(routes.holder((route,), host)) or host in route.named

    if host and not leads_here(host):
        raise UsageError(
            f"the edge does not route {host} to the sandbox '{name}'",
            details=f"it routes {', '.join(f'*.{domain}' for domain in route.domains)}"
            + "".join(f", {each.host}" for each in route.every_host),
            fix=f"name one below {route.domain}, or write `edge: {{hosts: [{host}]}}` in sandbox.yaml",
        )
    hosts = (host,) if host else tuple(filter(leads_here, _hosts(home, route))) or (route.domain,)
    opened = [port for address, port in route.listen if lan_access.is_open(address)]
    if opened and route.aliases:
        urls = lan_access.urls(hosts, domain=route.domain, aliases=route.aliases, port=opened[0])
    else:  # an existing cluster without a port of the edge is reached at its ingress
        port = route.listen[0][1] if route.listen else 443
        urls = tuple(lan_access.url(each, port) for each in hosts)
    if not urls:
        raise UsageError(
            f"{host or 'the sandbox'} has no URL for other machines",
            details=f"other machines reach only hosts of *.{route.domain}",
        )
    if for_others and not route.aliases:
        raise UsageError(
            f"only this machine reaches the sandbox {route.name}",
            fix="in sandbox.yaml, set `edge: {listen: 0.0.0.0}`, then run `sandbox up`",
        )
    return urls


def answered_hosts(name: str) -> AnsweredHosts:
    home = context.home()
    route = _route(home, name)
    if not route.listen:
        raise UsageError(
            f"the hosts of '{name}' are not on this machine",
            details="the controller of its existing cluster answers them, at an address of its own",
            fix="enter them at that address; with `ingress: {address: …}` in sandbox.yaml they are here, too",
        )
    address, port = route.listen[0]
    by_name = [each.host for each in route.tls_hosts]
    answered = tuple(each for each in dict.fromkeys((*_hosts(home, route), *by_name)) if re.fullmatch(SUBDOMAIN, each))
    own = (route.domain, *by_name, *(each.host for each in route.every_host))
    others = tuple(item for item in answered if item not in own and not item.endswith(f".{route.domain}"))
    return AnsweredHosts(answered, Bind(address, port).asked_at, others)


def _route(home: Home, name: str) -> Route:
    if route := routes.find(routes.load(home.edge), name):
        return route
    raise not_up(name, "")


def _hosts(home: Home, route: Route) -> tuple[str, ...]:
    names = home.sandbox(route.name)
    cluster, namespace = Cluster(names.kubeconfig), saved_spec.namespace(names)
    try:
        ingresses = served_hosts.ingresses(cluster, namespace, with_routes=namespace is None)
    except ServerAway as error:
        raise not_up(route.name, str(error)) from error
    answered = set(served_hosts.hosts_of(ingresses))
    answered |= {each.host for each in route.every_host}
    return tuple(sorted(answered)) or (route.domain,)
