"""Checks the way out of the cluster from a pod: names, this machine, a connection, TLS."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import urlsplit

from sandbox.bundle import system_images
from sandbox.components.certificates.subject_names import parse_address
from sandbox.components.cluster import dns
from sandbox.components.cluster.company_ca import CompanyCa
from sandbox.components.network import proxy_settings
from sandbox.doctor import egress_probe
from sandbox.doctor.check import Check, Finding, Row, Status, checked, error, ok, skipped, unchecked, warn, with_engine
from sandbox.doctor.doctor_context import DoctorContext, EngineProbe
from sandbox.doctor.egress_probe import Hello, Part, Refused, received
from sandbox.doctor.tls.tls_context import parse
from sandbox.kube.api import Cluster
from sandbox.names import HOST

# Most images come from here; minikube tries the same.
DESTINATION = "registry.k8s.io"
CONNECT = "connect "


@dataclass(frozen=True)
class Tried:
    """The output of the pod by the titles of its parts, and the seconds that it took."""

    parts: dict[str, Part]
    seconds: float


@dataclass(frozen=True)
class EgressTrace:
    """A connection from a pod of the sandbox to `host`:`port`."""

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
    def nameservers(self) -> tuple[str, ...]:
        """Return the nameservers of the running cluster DNS. Raises ClusterError."""
        found = self._cluster.get("v1", "ConfigMap", dns.NAME, dns.NAMESPACE) or {}
        return dns.nameservers(str(found.get("data", {}).get("Corefile", "")))

    @cached_property
    def tried(self) -> Tried:
        """Run the pod once and return its output. Raises ClusterError and WaitTimeout."""
        engine = with_engine(self.context).engine
        images = system_images.for_spec(self.context.spec, self.context.home, engine)
        first, target, port = b"", self.host, self.port
        if self.proxy:
            parts = urlsplit(self.proxy)
            target, port = parts.hostname or "", parts.port or 80
            first = f"CONNECT {self.host}:{self.port} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n\r\n".encode()
        argv = egress_probe.command(
            host="" if parse_address(self.host) else self.host,
            target=target,
            port=port,
            first=first,
            then=self.hello.first_words,
            nameservers=self.nameservers,
        )
        began = time.monotonic()
        log = egress_probe.run(self._cluster, images.references["busybox"], argv)
        return Tried(egress_probe.read(log), time.monotonic() - began)

    def part(self, title: str) -> Part:
        """Return the output of one part, or that the pod ended before it."""
        return self.tried.parts.get(title, Part("the pod ended before it", succeeded=False))

    @property
    def _cluster(self) -> Cluster:
        return Cluster(self.context.names.kubeconfig)


def pod(trace: EgressTrace) -> Finding:
    if not trace.tried.parts:
        return error("a pod ran without any output")
    return ok(f"a pod ran for {trace.tried.seconds:.0f} s")


def cluster_dns(trace: EgressTrace) -> Finding:
    said = trace.part("cluster")
    if not said.addresses:
        return error(f"kubernetes.default.svc.cluster.local: {said.last}")
    return ok(f"kubernetes.default.svc.cluster.local is {', '.join(said.addresses)}")


def nameservers(trace: EgressTrace) -> Finding:
    if not trace.nameservers:
        return error("the cluster DNS has no nameservers", "sandbox up{which}")
    silent = {
        server: said.last for server in trace.nameservers if not (said := trace.part(f"server {server}")).answered
    }
    told = ", ".join(f"{server}: {why}" for server, why in silent.items())
    if len(silent) == len(trace.nameservers):
        return error(told)
    return (
        warn(f"{told}; lookups that try it first take longer")
        if silent
        else ok(f"{', '.join(trace.nameservers)} answer" + ("s" if len(trace.nameservers) == 1 else ""))
    )


def name(trace: EgressTrace) -> Finding:
    said = trace.tried.parts.get("name")
    if said is None:
        return skipped(f"{trace.host} is an address")
    if said.addresses:
        return ok(f"{trace.host} is {', '.join(said.addresses)}")
    evidence = f"{trace.host}: {said.last}"
    return warn(f"{evidence}; the proxy may know it") if trace.proxy else error(evidence)


def gateway(trace: EgressTrace) -> Finding:
    here, ping = trace.part("here"), trace.part("ping")
    if not here.addresses:
        return error(f"{HOST}: {here.last}", "sandbox up{which}")
    where = f"{HOST} is {here.addresses[0]}"
    docker = trace.context.docker
    if isinstance(docker, EngineProbe) and docker.facts.rootless:
        return warn(f"{where}, which is the rootless engine's network namespace and not this machine")
    if not ping.succeeded:
        return warn(f"{where} and does not answer a ping")
    took = re.search(r"time=([\d.]+) ms", ping.output)
    return ok(f"{where} and answers" + (f" in {took[1]} ms" if took else ""))


def tcp(trace: EgressTrace) -> Finding:
    title = _connection(trace)
    trouble, _ = received(trace.part(title))
    to = _place(trace, title)
    if not title.removeprefix(CONNECT):
        return error(f"{to} has no address")
    return error(f"{to}: {trouble}") if trouble else ok(f"{to} accepts connections")


def tls(trace: EgressTrace) -> Finding:
    _, answer = received(trace.part(_connection(trace)))
    if trace.proxy:
        head, _, answer = answer.partition(b"\r\n\r\n")
        status = head.split(b"\r\n")[0].decode(errors="replace")
        if " 407" in status:
            return skipped("the proxy requires a login, which is not tried")
        if " 200" not in status:
            return error(f"the proxy answers {status or 'nothing'}", "ask the administrator of the proxy")
    if not answer:
        return error(f"{trace.host}:{trace.port} does not answer a TLS ClientHello")
    try:
        return ok(trace.hello.judge(answer))
    except Refused as refused:
        return error(f"{trace.host}:{trace.port}: {refused}")


def _connection(trace: EgressTrace) -> str:
    return next((title for title in trace.tried.parts if title.startswith(CONNECT)), CONNECT)


def _place(trace: EgressTrace, title: str) -> str:
    parts = urlsplit(trace.proxy)
    host, port = (f"the proxy {parts.hostname}", parts.port or 80) if trace.proxy else (trace.host, trace.port)
    address = title.removeprefix(CONNECT)
    return f"{host}:{port}" + (f" at {address}" if address and address != host else "")


CHECKS: tuple[Check[EgressTrace], ...] = (
    Check("outbound.pod", "a pod runs", "sandbox status{which}; if it is not ready, sandbox up{which}", pod),
    Check(
        "outbound.dns",
        "the cluster's own names resolve",
        "sandbox up{which}; the reason is in kubectl -n kube-system logs deployment/coredns",
        cluster_dns,
    ),
    Check(
        "outbound.nameservers",
        "the nameservers answer pods",
        "set others in sandbox.yaml, such as network: {nameservers: [1.1.1.1, 8.8.8.8]}, then sandbox up{which}; with "
        "a VPN, its own",
        nameservers,
    ),
    Check(
        "outbound.name",
        "the destination's name resolves",
        "set nameservers that resolve it in sandbox.yaml (network.nameservers), or its address (network.hosts), "
        "then sandbox up{which}",
        name,
    ),
    Check(
        "outbound.gateway",
        "this machine answers pods",
        "allow Docker's networks in its firewall; with ufw: sudo ufw allow from 172.16.0.0/12",
        gateway,
    ),
    Check(
        "outbound.tcp",
        "the destination accepts a connection",
        "enable forwarding (sudo sysctl net.ipv4.ip_forward=1) and allow Docker's networks in the firewall; "
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
NEEDS = {
    "outbound.dns": ("outbound.pod",),
    "outbound.nameservers": ("outbound.pod",),
    "outbound.name": ("outbound.dns", "outbound.nameservers"),
    "outbound.gateway": ("outbound.dns",),
    "outbound.tcp": ("outbound.name",),
    "outbound.tls": ("outbound.tcp",),
}


def examine(context: DoctorContext, text: str) -> Iterator[Row]:
    """Check the way from a pod to `text` (HOST or HOST:PORT), and yield a row for each step. Raises UsageError."""
    host, port = parse(text)
    company = CompanyCa(context.spec.network.ca).pem
    trace = EgressTrace(context, host, port or 443, Hello(host, company))
    failed: set[str] = set()
    for check in CHECKS:
        missing = next((need for need in NEEDS.get(check.id, ()) if need in failed), None)
        if missing:
            failed.add(check.id)
            yield unchecked(check, missing)
            continue
        # In this thread, so that the pod is deleted before an interrupt ends the command.
        one = checked(check, trace)
        if one.status is Status.ERROR:
            failed.add(check.id)
        yield one
