"""Values of a sandbox.yaml that do not fit together although each is fine alone; reported where to change them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from sandbox.config import capabilities
from sandbox.config.capabilities import Misfit
from sandbox.config.schema.apply_schema import Chart, RemoteChart
from sandbox.config.schema.credentials_schema import Acr
from sandbox.names import is_below

if TYPE_CHECKING:
    from sandbox.config.schema.spec import Spec

Value = TypeVar("Value")
# Of Azure's clouds: the public one, China's, the US government's.
AZURE = (".azurecr.io", ".azurecr.cn", ".azurecr.us")


def misfits(spec: Spec) -> list[Misfit]:
    checks = (_controller, _domain, _repetitions, _ports, _edge, _registries, capabilities.misfits)
    return [misfit for check in checks for misfit in check(spec)]


def _controller(spec: Spec) -> Iterator[Misfit]:
    if spec.ingress.controller == "none":
        for key in ("gateway_api", "classes"):
            if getattr(spec.ingress, key):
                yield ("ingress", key), "is for the sandbox's own controller, and the spec has none"
        return
    for host in spec.network.hosts:
        if is_below(host, spec.domain):
            wrong = f"'{host}' is inside the domain '{spec.domain}', which the ingress serves"
            yield ("network", "hosts", host), wrong


def _domain(spec: Spec) -> Iterator[Misfit]:
    hosts: list[Misfit] = [
        (("certs", "secrets", index, "hosts", place), host)
        for index, certificate in enumerate(spec.certs.secrets)
        for place, host in enumerate(certificate.hosts)
    ]
    hosts += [(("registry", "tls", index), host.partition(":")[0]) for index, host in enumerate(spec.registry.tls)]
    for path, host in hosts:
        if not is_below(host, spec.domain):
            yield path, f"'{host}' is not inside the domain '{spec.domain}'"


def _repetitions(spec: Spec) -> Iterator[Misfit]:
    for index, (namespace, secret) in _repeated([(each.namespace, each.secret) for each in spec.certs.secrets]):
        yield ("certs", "secrets", index, "secret"), f"'{secret}' is given twice in the namespace '{namespace}'"
    for index, name in _repeated([entry.secret for entry in spec.credentials]):
        yield ("credentials", index), f"the Secret '{name}' is given twice; write another `secret:`"
    for index, name in _repeated([each.name for each in spec.addons]):
        yield ("addons", index), f"there is another addon '{name}' before it"
    charts = {index: each for index, each in enumerate(spec.apply) if isinstance(each, Chart | RemoteChart)}
    for at, (namespace, name) in _repeated([(each.namespace, each.name) for each in charts.values()]):
        wrong = f"the release '{name}' is given twice in the namespace '{namespace}'; write another `release:`"
        yield ("apply", [*charts][at]), wrong


def _repeated(values: Sequence[Value]) -> Iterator[tuple[int, Value]]:
    return ((index, value) for index, value in enumerate(values) if value in values[:index])


def _ports(spec: Spec) -> Iterator[Misfit]:
    registry, https = spec.registry.port, spec.edge.ports
    taken: dict[Any, str] = dict.fromkeys(https, "one of the edge's HTTPS ports")
    if not spec.registry.external:
        taken[registry] = "the registry's port"
        if registry != "auto" and registry in https:
            yield ("registry", "port"), f"{registry} is one of the edge's ports; choose another"
    for index, tcp in enumerate(spec.edge.tcp):
        if tcp.port == "auto" and ":" not in tcp.to:
            yield ("edge", "tcp", index, "to"), "must be NAMESPACE/SERVICE:PORT, because `port` is auto"
        if tcp.port != "auto" and tcp.port in taken:
            yield ("edge", "tcp", index, "port"), f"{tcp.port} is {taken[tcp.port]}; choose another"
        taken[tcp.port] = "given twice"
        if spec.runs_process and tcp.proxy_protocol:
            wrong = "needs the nodes' addresses: through the API server no one knows the client"
            yield ("edge", "tcp", index, "proxy_protocol"), wrong


def _edge(spec: Spec) -> Iterator[Misfit]:
    for key in ("hosts", "tls"):
        if getattr(spec.edge, key) and spec.edge.run == "process" and spec.cluster.supports.containers:
            yield ("edge", key), "needs the nodes' addresses: leave out 'run: process'"
    for index, host in _repeated([each.host for each in spec.edge.hosts]):
        yield ("edge", "hosts", index, "host"), f"'{host}' is given twice"
    for index, each in enumerate(spec.edge.hosts):
        if each.ends and "." not in each.host:
            wrong = f"'{each.host}' cannot be terminated at the edge: it has a single label"
            yield ("edge", "hosts", index, "host"), wrong
    taken = {each.host: "one of `hosts`" for each in spec.edge.hosts} | {spec.domain: "the sandbox's domain"}
    for index, route in enumerate(spec.edge.tls):
        if route.host in taken:
            yield ("edge", "tls", index, "host"), f"'{route.host}' is {taken[route.host]}; choose another"
        taken[route.host] = "given twice"
        if ":" not in route.to:
            yield ("edge", "tls", index, "to"), "must be NAMESPACE/SERVICE:PORT, with the Service's port"


def _registries(spec: Spec) -> Iterator[Misfit]:
    if spec.registry.external and spec.registry.storage:
        yield ("registry", "storage"), "is for the sandbox's own registry, and this one is external"
    for index, entry in enumerate(spec.credentials):
        if isinstance(entry, Acr) and not entry.registry.partition(":")[0].endswith(AZURE):
            yield ("credentials", index, "registry"), f"must end in {', '.join(AZURE)}, not '{entry.registry}'"
