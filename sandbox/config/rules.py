"""Values of a sandbox.yaml that do not fit together although each is fine alone; reported where to change them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from sandbox.config import capabilities
from sandbox.config.capabilities import Misfit
from sandbox.config.schema.apply_schema import Chart, RemoteChart
from sandbox.config.schema.credentials_schema import Acr
from sandbox.names import BALANCER, MAX_HOST, is_below

if TYPE_CHECKING:
    from sandbox.config.schema.spec import Spec

Value = TypeVar("Value")
# Of Azure's clouds: the public one, China's, the US government's.
AZURE = (".azurecr.io", ".azurecr.cn", ".azurecr.us")


def misfits(spec: Spec) -> list[Misfit]:
    """Return what does not fit together in `spec`: the path of each value to change, and what is wrong."""
    return [
        *_gateway_api(spec),
        *_outside_domain(spec),
        *_same_secret(spec),
        *_same_port(spec),
        *_edge_hosts(spec),
        *_edge_container(spec),
        *_tcp_ports(spec),
        *_tls_hosts(spec),
        *_stored_elsewhere(spec),
        *_same_credentials(spec),
        *_same_release(spec),
        *_azure(spec),
        *_hosts_of_the_ingress(spec),
        *_same_addon(spec),
        *_balancer(spec),
        *_devices(spec),
        *capabilities.misfits(spec),
    ]


def _gateway_api(spec: Spec) -> Iterator[Misfit]:
    if spec.ingress.controller == "none":
        for key in ("gateway_api", "classes"):
            if getattr(spec.ingress, key):
                yield ("ingress", key), "is for the sandbox's own controller, and the spec has none"


def _outside_domain(spec: Spec) -> Iterator[Misfit]:
    hosts: list[Misfit] = [
        (("certs", "secrets", index, "hosts", place), host)
        for index, certificate in enumerate(spec.certs.secrets)
        for place, host in enumerate(certificate.hosts)
    ]
    hosts += [(("registry", "tls", index), host.partition(":")[0]) for index, host in enumerate(spec.registry.tls)]
    for path, host in hosts:
        if not is_below(host, spec.domain):
            yield path, f"'{host}' is not inside the domain '{spec.domain}'"


def _same_secret(spec: Spec) -> Iterator[Misfit]:
    for index, (namespace, secret) in _repeated([(one.namespace, one.secret) for one in spec.certs.secrets]):
        yield ("certs", "secrets", index, "secret"), f"'{secret}' is given twice in the namespace '{namespace}'"


def _same_port(spec: Spec) -> Iterator[Misfit]:
    port, ports = spec.registry.port, spec.edge.ports
    if spec.registry.external or port == "auto" or port not in ports:
        return
    if spec.origin("registry", "port").giver >= spec.origin("edge", "ports").giver:
        yield ("registry", "port"), f"{port} is one of the edge's ports; choose another"
    else:
        yield ("edge", "ports", ports.index(port)), f"{port} is the registry's port; choose another"


def _edge_hosts(spec: Spec) -> Iterator[Misfit]:
    for index, host in _repeated([one.host for one in spec.edge.hosts]):
        yield ("edge", "hosts", index, "host"), f"'{host}' is given twice"
    for index, one in enumerate(spec.edge.hosts):
        if one.ends and "." not in one.host:
            wrong = f"'{one.host}' cannot be terminated at the edge: it has a single label"
            yield ("edge", "hosts", index, "host"), wrong


def _edge_container(spec: Spec) -> Iterator[Misfit]:
    for key in ("hosts", "tls"):
        if getattr(spec.edge, key) and spec.edge.run == "process" and spec.cluster.supports.containers:
            yield ("edge", key), "needs the edge container: leave out 'run: process'"


def _tcp_ports(spec: Spec) -> Iterator[Misfit]:
    others = dict.fromkeys(spec.edge.ports, "one of the edge's HTTPS ports")
    others |= {} if spec.registry.external else {spec.registry.port: "the registry's port"}
    taken: dict[Any, str] = dict(others)
    for index, port in enumerate(spec.edge.tcp):
        if port.port == "auto" and ":" not in port.to:
            wrong = "must be NAMESPACE/SERVICE:PORT, because `port` is auto"
            yield ("edge", "tcp", index, "to"), wrong
        if port.port != "auto" and port.port in taken:
            yield ("edge", "tcp", index, "port"), f"{port.port} is {taken[port.port]}; choose another"
        taken[port.port] = "given twice"
        if spec.runs_process and port.proxy_protocol:
            wrong = "needs the edge container: through the API server no one knows the client"
            yield ("edge", "tcp", index, "proxy_protocol"), wrong


def _tls_hosts(spec: Spec) -> Iterator[Misfit]:
    taken = {one.host: "one of `hosts`" for one in spec.edge.hosts} | {spec.domain: "the sandbox's domain"}
    for index, one in enumerate(spec.edge.tls):
        if one.host in taken:
            yield ("edge", "tls", index, "host"), f"'{one.host}' is {taken[one.host]}; choose another"
        taken[one.host] = "given twice"
        if ":" not in one.to:
            yield ("edge", "tls", index, "to"), "must be NAMESPACE/SERVICE:PORT, with the Service's port"


def _stored_elsewhere(spec: Spec) -> Iterator[Misfit]:
    if spec.registry.external and spec.registry.storage:
        yield ("registry", "storage"), "is for the sandbox's own registry, and this one is external"


def _same_credentials(spec: Spec) -> Iterator[Misfit]:
    for index, name in _repeated([entry.secret for entry in spec.credentials]):
        yield ("credentials", index), f"the Secret '{name}' is given twice; write another `secret:`"


def _same_release(spec: Spec) -> Iterator[Misfit]:
    charts = {index: one for index, one in enumerate(spec.apply) if isinstance(one, Chart | RemoteChart)}
    places = list(charts)
    for at, (namespace, name) in _repeated([(one.namespace, one.name) for one in charts.values()]):
        wrong = f"the release '{name}' is given twice in the namespace '{namespace}'; write another `release:`"
        yield ("apply", places[at]), wrong


def _azure(spec: Spec) -> Iterator[Misfit]:
    for index, entry in enumerate(spec.credentials):
        if isinstance(entry, Acr) and not entry.registry.partition(":")[0].endswith(AZURE):
            yield ("credentials", index, "registry"), f"must end in {', '.join(AZURE)}, not '{entry.registry}'"


def _hosts_of_the_ingress(spec: Spec) -> Iterator[Misfit]:
    if spec.ingress.controller == "none":
        return
    for host in spec.network.hosts:
        if is_below(host, spec.domain):
            wrong = f"'{host}' is inside the domain '{spec.domain}', which the ingress serves"
            yield ("network", "hosts", host), wrong


def _same_addon(spec: Spec) -> Iterator[Misfit]:
    for index, name in _repeated([one.name for one in spec.addons]):
        yield ("addons", index), f"there is another addon '{name}' before it"


def _balancer(spec: Spec) -> Iterator[Misfit]:
    spare = MAX_HOST - len(f"sandbox--{BALANCER}")
    if spec.cluster.nodes.control_plane > 1 and len(spec.name) > spare:
        wrong = f"the balancer before several control planes needs a host name of at most {MAX_HOST} characters, and"
        yield ("cluster", "nodes", "control_plane"), f"{wrong} so a `name` of at most {spare}, not {len(spec.name)}"


def _devices(spec: Spec) -> Iterator[Misfit]:
    """Yield files in /dev, of which reading some waits for ever; `-f` accepts the pipes that are there."""
    locks = [
        (("apply", index, "lock"), one.lock) for index, one in enumerate(spec.apply) if isinstance(one, RemoteChart)
    ]
    for path, file in ((("push",), spec.push), *locks):
        if file and file.is_relative_to("/dev"):
            yield path, f"must be a regular file, not {file}"


def _repeated(values: Sequence[Value]) -> Iterator[tuple[int, Value]]:
    return ((index, one) for index, one in enumerate(values) if one in values[:index])
