"""Checks the path to a Service, hop by hop: this machine and its edge, the endpoints, the pods."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from sandbox.components.edge import forwarder, routes
from sandbox.components.ingress import unserved
from sandbox.doctor.check import Check, DoctorContext, Finding, Row, error, follow, ok, skipped, warn
from sandbox.engine import Bind
from sandbox.engine.container_host import connects
from sandbox.errors import UsageError
from sandbox.kube.api import Cluster, ClusterError, Manifest
from sandbox.kube.workload_status import endpoint_slices, is_serving, offered
from sandbox.plan import providers, saved_spec
from sandbox.system import host_network


@dataclass(frozen=True)
class ServiceTrace:
    """The Service `name` of `namespace`; the Service and its endpoints are read once."""

    context: DoctorContext
    namespace: str
    name: str

    @property
    def which(self) -> str:
        return self.context.which

    @property
    def place(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def kubectl(self) -> str:
        return saved_spec.kubectl(self.context.names)

    @property
    def cluster(self) -> Cluster:
        return Cluster(self.context.names.kubeconfig)

    @cached_property
    def service(self) -> Manifest:
        return self.cluster.get("v1", "Service", self.name, self.namespace) or {}

    @cached_property
    def ready(self) -> Sequence[Manifest]:
        slices = endpoint_slices(self.cluster, self.namespace, self.name)
        ends = ({**end, "ports": part.get("ports") or ()} for part in slices for end in part.get("endpoints") or ())
        return [end for end in ends if is_serving(end)]


def find(context: DoctorContext, text: str) -> ServiceTrace:
    namespace, slash, name = text.partition("/")
    if slash:
        return ServiceTrace(context, namespace, name)
    services = context.cluster.list("v1", "Service", context.spec.namespace)
    namespaces = [service["metadata"]["namespace"] for service in services if service["metadata"]["name"] == text] or [
        context.spec.namespace or "default"
    ]
    if len(namespaces) > 1:
        places = ", ".join(f"{namespace}/{text}" for namespace in namespaces)
        raise UsageError(f"there are several Services {text}", fix=f"name one: {places}")
    return ServiceTrace(context, namespaces[0], text)


def exists(trace: ServiceTrace) -> Finding:
    try:
        service = trace.service
    except ClusterError as trouble:
        return error(f"{trouble.brief}: {trouble.details}".rstrip(": "), "sandbox start{which}, or sandbox up{which}")
    if not service:
        fix = f"{trace.kubectl} get services -A; then name one of them"
        return error(f"there is no Service {trace.place}", fix)
    spec = service["spec"]
    ports = ", ".join(f"{port['port']}/{port.get('protocol', 'TCP')}" for port in spec.get("ports") or ())
    return ok(f"{trace.place} is of type {spec.get('type', 'ClusterIP')}, with {ports or 'no ports'}")


def machine(trace: ServiceTrace) -> Finding:
    ways, home = [], trace.context.home
    route = routes.find(routes.load(home.edge), trace.context.names.name)
    for port in route.every_port if route else ():
        if not route or port.to.partition(":")[0] != trace.place:
            continue
        bind = Bind(*route.place(port))
        if not host_network.accepts(bind.asked_at, bind.port, seconds=2):
            return error(f"nothing listens on {bind}, which should be routed to {port.to}")
        if route.forwards and (trouble := forwarder.trouble(home, route.name)):
            return error(f"the edge {trouble}", "sandbox up{which}")
        if not route.forwards and port.to not in dict(route.node_ports):
            return error(f"the edge does not know where port {port} leads", "sandbox up{which}")
        ways.append(f"{port.host}:{bind.port} (tls)" if port.host else f"{bind} (tcp)")
    if trace.service["spec"].get("type") == "LoadBalancer":
        addresses = trace.service.get("status", {}).get("loadBalancer", {}).get("ingress") or ()
        if not addresses:
            fix = f"{trace.kubectl} -n {trace.namespace} describe service {trace.name}, whose events tell why"
            return error("it is of type LoadBalancer and has no address", f"{fix}; or sandbox up{{which}}")
        ways.append(f"its address {addresses[0].get('ip') or addresses[0].get('hostname')}")
    if ways:
        return ok(", ".join(ways))
    tcp = offered(trace.service, "TCP")
    chosen = f":{tcp[0]['port']}" if tcp else ":PORT"
    of = f" -n {trace.context.names.name}" if trace.which else ""
    fix = f"sandbox edge port add auto {trace.place}{chosen}{of}"
    return warn("only pods reach it, and an Ingress if there is one", fix)


def endpoints(trace: ServiceTrace) -> Finding:
    spec = trace.service["spec"]
    if spec.get("type") == "ExternalName":
        return ok(f"it is another name of {spec.get('externalName')}, which pods connect to")
    if fault := unserved.service_fault(trace.cluster, trace.namespace, trace.name, None):
        return error(
            fault, f"{trace.kubectl} -n {trace.namespace} describe service {trace.name}; or sandbox doctor pod"
        )
    return ok(", ".join(sorted({address for end in trace.ready for address in end["addresses"]})))


def answer(trace: ServiceTrace) -> Finding:
    if not trace.context.spec.cluster.supports.containers:
        return skipped("the nodes of an existing cluster are elsewhere")
    nodes = providers.nodes(trace.context.engine, trace.context.names)
    ports = [(end, port) for end in trace.ready for port in end["ports"] if port.get("protocol") == "TCP"]
    # Several ports of the Service may lead to one of the pod; without a number it stands for all ports.
    places = {(end["addresses"][0], str(port["port"])): end for end, port in ports if port.get("port")}
    for (address, port), end in places.items():
        if not connects(nodes.engine, nodes.control_plane, address, port):
            pod = end.get("targetRef", {}).get("name", address)
            return error(f"the pod {pod} does not accept connections at {host_network.authority(address, port)}")
    if trace.ready and not ports and offered(trace.service, "TCP"):
        return error("no pod has its port", "let targetPort be a containerPort's name, or a number")
    tried = ", ".join(host_network.authority(*place) for place in places)
    return ok(f"{tried} accept connections") if tried else skipped("it has no port of TCP")


CHECKS = (
    Check("service.exists", "the cluster has the Service", "kubectl get services -A; then name one of them", exists),
    Check(
        "service.machine",
        "this machine has a way to it: an open port that the edge routes, or its address",
        "sandbox edge port add auto NAMESPACE/SERVICE:PORT; sandbox up{which}",
        machine,
    ),
    Check(
        "service.endpoints", "an EndpointSlice has a ready pod", "sandbox doctor pod NAMESPACE/POD{which}", endpoints
    ),
    Check(
        "service.pod",
        "the pods accept connections",
        "let the program listen on 0.0.0.0, and targetPort be its port; a NetworkPolicy may also be in the way",
        answer,
    ),
)


def examine(context: DoctorContext, text: str) -> Iterator[Row]:
    """Check the way to the Service `text` (NAMESPACE/NAME or NAME), and yield a row for each hop. Raises UsageError."""
    yield from follow(CHECKS, find(context, text.partition(":")[0]))  # `edge status` shows it with a port
