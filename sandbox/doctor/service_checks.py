"""Checks the path to a Service, hop by hop: this machine, the edge, the node, kube-proxy, its endpoints, its pods."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.components.cluster.kube_proxy import CONNECT
from sandbox.components.edge import forwarder
from sandbox.components.edge.container import EdgeContainer
from sandbox.doctor.check import Check, Finding, Row, Status, checked, error, ok, skipped, unchecked, warn, with_engine
from sandbox.doctor.doctor_context import DoctorContext
from sandbox.doctor.service_trace import ServiceTrace
from sandbox.engine import Bind
from sandbox.kube.api import ClusterError, Manifest
from sandbox.kube.pod_faults import faults
from sandbox.plan import providers
from sandbox.system import host_network


def exists(trace: ServiceTrace) -> Finding:
    try:
        found = trace.service
    except ClusterError as trouble:
        return error(f"{trouble.brief}: {trouble.details}".rstrip(": "), "sandbox start{which}, or sandbox up{which}")
    if not found:
        kubectl = providers.kubectl(trace.context.names)
        return error(f"there is no Service {trace.called}", f"{kubectl} get services -A; then name one of them")
    spec = found["spec"]
    ports = ", ".join(f"{one['port']}/{one.get('protocol', 'TCP')}" for one in spec.get("ports") or ())
    return ok(f"{trace.called} is of type {spec.get('type', 'ClusterIP')}, with {ports or 'no ports'}")


def machine(trace: ServiceTrace) -> Finding:
    ways = []
    for one, bind in trace.ports.items():
        if not _accepts(bind):
            return error(f"nothing listens on {bind}, which should be routed to {one.to}")
        ways.append(f"{one.host}:{bind.port} (tls)" if one.host else f"{bind} (tcp)")
    if trace.service["spec"].get("type") == "LoadBalancer":
        if not trace.address:
            refusal = _refusal(trace)
            kubectl = f"{providers.kubectl(trace.context.names)} -n {trace.namespace}"
            return error(
                f"it is of type LoadBalancer and has no address{refusal}",
                f"{kubectl} edit service {trace.name}"
                if refusal
                else f"{kubectl} describe service {trace.name}, whose events tell why; or sandbox up{{which}}",
            )
        ways.append(f"its address {trace.address}")
    if ways:
        return ok(", ".join(ways))
    tcp = trace.offered("TCP")
    chosen = f":{tcp[0]['port']}" if len(tcp) > 1 else ""
    of = f" -n {trace.context.names.name}" if trace.which else ""
    fix = f"sandbox edge port add auto {trace.called}{chosen}{of}"
    return warn("only pods reach it, and an Ingress if there is one", fix)


def _refusal(trace: ServiceTrace) -> str:
    mine = [one for one in trace.events if one["involvedObject"].get("uid") == trace.service["metadata"].get("uid")]
    return f": {mine[-1]['message']}" if mine else ""


def edge(trace: ServiceTrace) -> Finding:
    if not trace.ports or trace.route is None:
        return skipped("no port of this machine leads to it")
    found = EdgeContainer.of(with_engine(trace.context).engine, trace.context.home).find()
    if found is None or not found.running:
        return error("the edge is not running")
    if trace.route.forwards:
        trouble = forwarder.trouble(trace.context.home, trace.route.name)
        led = f"{', '.join(map(str, trace.ports))} is forwarded by the cluster's API server"
        return error(f"the edge {trouble}") if trouble else ok(led)
    known = dict(trace.route.node_ports)
    lost = [str(one) for one in trace.ports if one.to not in known]
    if lost:
        return error(f"the edge does not know where port {', '.join(lost)} leads")
    return ok(", ".join(f"{one} leads to the nodes' port {known[one.to]}" for one in trace.ports))


def endpoints(trace: ServiceTrace) -> Finding:
    spec = trace.service["spec"]
    if spec.get("type") == "ExternalName":
        return ok(f"it is another name of {spec.get('externalName')}, which pods connect to")
    if trace.ready:
        if lost := _lost(trace):
            return error(
                f"no pod has the port {lost.get('targetPort')}, to which its port {lost['port']} leads",
                "let targetPort be a containerPort's name, or a number",
            )
        return ok(", ".join(sorted({address for end in trace.ready for address in end["addresses"]})))
    if not spec.get("selector"):
        return error("it selects no pods and has no endpoints", "give it a selector, or make an EndpointSlice for it")
    if not trace.pods:
        chosen = ", ".join(f"{key}={value}" for key, value in spec["selector"].items())
        return error(f"no pod in {trace.namespace} has {chosen}", "let its selector fit the labels of the pods")
    standing = ", ".join(map(_standing, trace.pods))
    name = trace.pods[0]["metadata"]["name"]
    return error(f"no pod is ready: {standing}", f"sandbox doctor pod {trace.namespace}/{name}{{which}}, and its logs")


def answer(trace: ServiceTrace) -> Finding:
    """Connect to each ready pod from a node, if its port is a TCP port."""
    if not trace.context.spec.cluster.supports.containers:
        return skipped("the nodes of an existing cluster are elsewhere")
    tried = []
    ports = [(end, one) for end in trace.ready for one in end["ports"] if one.get("protocol") == "TCP"]
    # Several ports of the Service may lead to one of the pod; without a number it stands for all ports.
    places = {(end["addresses"][0], str(one["port"])): end for end, one in ports if one.get("port")}
    for (address, port), end in places.items():
        words = ["timeout", "2", "bash", "-c", CONNECT, address, port]
        if trace.nodes.execute(trace.nodes.control_plane, words)[0] != 0:
            pod = end.get("targetRef", {}).get("name", address)
            return error(f"the pod {pod} does not accept connections at {host_network.authority(address, port)}")
        tried.append(host_network.authority(address, port))
    return ok(f"{', '.join(tried)} accept connections") if tried else skipped("it has no port of TCP")


def address(trace: ServiceTrace) -> Finding:
    """Connect to its address as a load balancer from this machine, if its port is a TCP port."""
    binds = [Bind(trace.address, int(one["port"])) for one in trace.offered("TCP")] if trace.address else []
    if not binds:
        return skipped("it has no address with a port of TCP")
    if trace.route and not with_engine(trace.context).engine.shares_network():
        far = "this machine does not reach addresses of containers"
        return skipped(f"{far}; its ports above are the way") if trace.ports else error(far)
    if lost := next((bind for bind in binds if not _accepts(bind)), None):
        return error(f"this machine does not reach {lost}")
    return ok(f"{', '.join(map(str, binds))} accept connections")


def _lost(trace: ServiceTrace) -> Manifest | None:
    there = {(one.get("name") or "", one.get("protocol")) for end in trace.ready for one in end["ports"]}
    for protocol in ("TCP", "UDP"):
        for one in trace.offered(protocol):
            if (one.get("name", ""), protocol) not in there:
                return one
    return None


def _accepts(bind: Bind) -> bool:
    return host_network.accepts(bind.asked_at, bind.port, seconds=2)


def _standing(pod: Manifest) -> str:
    name = pod["metadata"]["name"]
    for fault in faults(pod):
        return f"{name}, {fault}"
    phase = pod.get("status", {}).get("phase", "unknown")
    return f"{name} runs, and its readiness probe fails" if phase == "Running" else f"{name} is {phase}"


CHECKS: tuple[Check[ServiceTrace], ...] = (
    Check("service.exists", "the cluster has the Service", "kubectl get services -A; then name one of them", exists),
    Check(
        "service.machine",
        "this machine has a way to it: an open port, or its address",
        "sandbox edge port add auto NAMESPACE/SERVICE; sandbox up{which}",
        machine,
    ),
    Check("service.edge", "the edge runs and knows where its ports lead", "sandbox up{which}", edge),
    Check(
        "service.endpoints",
        "an EndpointSlice has a ready pod",
        "sandbox doctor pod NAMESPACE/POD{which}",
        endpoints,
    ),
    Check(
        "service.pod",
        "the pods accept connections",
        "let the program listen on 0.0.0.0, and targetPort be its port; a NetworkPolicy may also be in the way",
        answer,
    ),
    Check(
        "service.address",
        "this machine reaches its address as a load balancer",
        "sandbox edge port add auto NAMESPACE/SERVICE, if the engine runs in a virtual machine; "
        "a firewall or a VPN may also be in the way",
        address,
    ),
)


def examine(context: DoctorContext, text: str) -> Iterator[Row]:
    """Check the way to the Service `text` (NAMESPACE/NAME or NAME), and yield a row for each hop. Raises UsageError."""
    trace, failed = ServiceTrace.find(context, text.partition(":")[0]), ""  # `edge status` shows it with a port
    for check in CHECKS:
        if failed:
            yield unchecked(check, failed)
            continue
        one = checked(check, trace)
        failed = check.id if one.status is Status.ERROR else ""
        yield one
