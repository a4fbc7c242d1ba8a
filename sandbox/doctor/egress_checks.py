"""Checks the way out of the cluster from a pod: names, a connection, TLS."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import urlsplit

from sandbox.bundle import system_images
from sandbox.components.certificates.subject_names import parse_address
from sandbox.components.cluster.company_ca import CompanyCa
from sandbox.components.network import proxy_settings
from sandbox.doctor import egress_probe
from sandbox.doctor.check import Check, DoctorContext, Finding, Row, error, follow, ok, skipped, warn
from sandbox.doctor.egress_probe import Hello, Part, Refused, received
from sandbox.doctor.tls.tls_context import parse
from sandbox.system import files

# Most images come from here; minikube tries the same.
DESTINATION = "registry.k8s.io"
CONNECT = "connect "


@dataclass(frozen=True)
class EgressTrace:
    context: DoctorContext
    host: str
    port: int
    hello: Hello = field(compare=False)

    @property
    def which(self) -> str:
        return self.context.which

    @property
    def proxy(self) -> str:
        chosen = self.context.spec.network.proxy
        return proxy_settings.of_environment(self.context.environment).https if chosen == "auto" else chosen.https or ""

    @cached_property
    def parts(self) -> dict[str, Part]:
        image = system_images.for_spec(self.context.spec, self.context.home, self.context.engine).references["busybox"]
        first, target, port = b"", self.host, self.port
        if self.proxy:
            proxy = urlsplit(self.proxy)
            target, port = proxy.hostname or "", proxy.port or 80
            first = f"CONNECT {self.host}:{self.port} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n\r\n".encode()
        data = [base64.b64encode(part).decode() for part in (first, self.hello.client_hello)]
        name = "" if parse_address(self.host) else self.host
        script = files.packaged(__package__, "scripts/egress.sh")
        argv = ["busybox", "sh", "-c", script, "outbound", name, target, str(port), *data]
        return egress_probe.read(egress_probe.run(self.context.cluster, image, argv))

    def part(self, title: str) -> Part:
        return self.parts.get(title, Part("the pod ended before it"))

    @property
    def connection(self) -> tuple[Part, str]:
        title = next((title for title in self.parts if title.startswith(CONNECT)), CONNECT)
        return self.part(title), title.removeprefix(CONNECT)


def cluster_dns(trace: EgressTrace) -> Finding:
    name, part = "kubernetes.default.svc.cluster.local", trace.part("cluster")
    return ok(f"{name} is {', '.join(part.addresses)}") if part.addresses else error(f"{name}: {part.last_line}")


def name(trace: EgressTrace) -> Finding:
    part = trace.parts.get("name")
    if part is None:
        return skipped(f"{trace.host} is an address")
    if part.addresses:
        return ok(f"{trace.host} is {', '.join(part.addresses)}")
    evidence = f"{trace.host}: {part.last_line}"
    return warn(f"{evidence}; the proxy may know it") if trace.proxy else error(evidence)


def tcp(trace: EgressTrace) -> Finding:
    part, address = trace.connection
    proxy = urlsplit(trace.proxy)
    host, port = (f"the proxy {proxy.hostname}", proxy.port or 80) if trace.proxy else (trace.host, trace.port)
    target = f"{host}:{port}" + (f" at {address}" if address and address != host else "")
    if not address:
        return error(f"{target} has no address")
    trouble, _ = received(part)
    return error(f"{target}: {trouble}") if trouble else ok(f"{target} accepts connections")


def tls(trace: EgressTrace) -> Finding:
    _, data = received(trace.connection[0])
    if trace.proxy:
        head, _, data = data.partition(b"\r\n\r\n")
        status = head.split(b"\r\n")[0].decode(errors="replace")
        if " 407" in status:
            return skipped("the proxy requires a login, which is not tried")
        if " 200" not in status:
            return error(f"the proxy answers {status or 'nothing'}", "ask the administrator of the proxy")
    if not data:
        return error(f"{trace.host}:{trace.port} does not answer a TLS ClientHello")
    try:
        return ok(trace.hello.judge(data))
    except Refused as refused:
        return error(f"{trace.host}:{trace.port}: {refused}")


CHECKS = (
    Check(
        "outbound.dns",
        "a pod runs, and the cluster's own names resolve in it",
        "sandbox up{which}; the reason is in kubectl -n kube-system logs deployment/coredns",
        cluster_dns,
    ),
    Check(
        "outbound.name",
        "the destination's name resolves",
        "set nameservers that answer pods and know it in sandbox.yaml, such as network: {nameservers: [1.1.1.1]} or a "
        "VPN's own, or its address (network.hosts), then sandbox up{which}",
        name,
    ),
    Check(
        "outbound.tcp",
        "the destination accepts a connection",
        "enable forwarding (sudo sysctl net.ipv4.ip_forward=1) and allow Docker's networks in the firewall "
        "(sudo ufw allow from 172.16.0.0/12); "
        "if only a proxy can reach the destination: network: {proxy: {https: http://HOST:PORT}}",
        tcp,
    ),
    Check(
        "outbound.tls",
        "the TLS handshake succeeds with a certificate that this machine accepts",
        "if a company's proxy opens TLS, name its CA in sandbox.yaml, network: {ca: company.pem}, then "
        "sandbox up{which}; pods in namespaces labelled sandbox.dev/trust=true have it in the ConfigMap sandbox-root",
        tls,
    ),
)


def examine(context: DoctorContext, text: str) -> Iterator[Row]:
    """Check the way from a pod to `text` (HOST or HOST:PORT), and yield a row for each step. Raises UsageError."""
    host, port = parse(text)
    hello = Hello(host, CompanyCa(context.spec.network.ca).pem)
    # Not in another thread: the pod is deleted before an interrupt ends the command.
    yield from follow(CHECKS, EgressTrace(context, host, port or 443, hello))
