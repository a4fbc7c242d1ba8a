"""Checks the way out of the cluster: a pod tries names, a connection and TLS, and its output is judged here."""

import base64
import binascii
import re
import secrets
import ssl
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from sandbox.bundle import system_images
from sandbox.components.certificates.subject_names import parse_address
from sandbox.components.cluster.company_ca import CompanyCa
from sandbox.components.network import proxy_settings
from sandbox.doctor.check import Check, DoctorContext, Finding, Row, error, follow, ok, skipped, warn
from sandbox.doctor.request_trace import parse
from sandbox.kube.api import Cluster, ClusterError
from sandbox.kube.pods import faults
from sandbox.system import files
from sandbox.system.wait import wait_until

# Most images come from here; minikube tries the same.
DESTINATION = "registry.k8s.io"
CONNECT = "connect "
NAMESPACE = "default"
LABEL = "sandbox.dev/doctor"
TIMEOUT = 90.0  # seconds, also for the pod itself
LINES = 1000

_ALERT = b"\x15"  # the type of a record (RFC 8446, section 5.1)
# The place of a ServerHello's random value, and the value of a HelloRetryRequest (RFC 8446, section 4.1.3).
_RANDOM = slice(11, 43)
_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


def run(cluster: Cluster, image: str, command: Sequence[str]) -> str:
    for old in cluster.list("v1", "Pod", NAMESPACE, selector=LABEL):
        if old["status"].get("phase") in ("Succeeded", "Failed"):  # left by a killed doctor
            cluster.delete("v1", "Pod", old["metadata"]["name"], NAMESPACE)
    name = f"sandbox-doctor-{secrets.token_hex(3)}"
    container = {
        "name": "doctor",
        "image": image,
        "command": list(command),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {LABEL: "true"}},
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": int(TIMEOUT),
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "containers": [container],
        },
    }

    def state() -> str | None:
        live = cluster.get("v1", "Pod", name, NAMESPACE)
        if live is None:
            raise ClusterError(f"the pod {name} is gone", details="it was deleted by another process")
        phase = live.get("status", {}).get("phase", "not scheduled")
        if phase in ("Succeeded", "Failed"):
            return None
        return "; ".join([phase, *map(str, faults(live))])

    try:
        cluster.apply(pod)
        wait_until(state, what=f"the pod {NAMESPACE}/{name}", timeout=TIMEOUT)
        return cluster.log(name, NAMESPACE, lines=LINES)
    finally:
        with suppress(ClusterError):
            cluster.delete("v1", "Pod", name, NAMESPACE)


def read(log: str) -> dict[str, str]:
    """Return the output of each command of the script, by its title."""
    parts: dict[str, str] = {}
    title, lines = "", list[str]()
    for line in log.splitlines():
        if not line.startswith("=== "):
            lines.append(line)
        elif line.startswith("=== status "):
            parts[title] = "\n".join(lines)
        else:
            title, lines = line.removeprefix("=== "), []
    return parts


def resolved(output: str) -> tuple[str, str]:
    """Return the addresses that nslookup(1) printed, and its last line."""
    _, _, answer = output.partition("Name:")
    addresses = re.findall(r"^Address(?: \d+)?:\s*(\d+\.\d+\.\d+\.\d+)", answer, re.MULTILINE)
    last_line = re.sub(r"^[*;\s]+", "", output.strip().rpartition("\n")[2]) or "no answer"
    return ", ".join(dict.fromkeys(addresses)), last_line


def received(output: str) -> tuple[str, bytes]:
    """Return the error of nc(1), and the bytes that it received."""
    lines = output.splitlines()
    trouble = next((line.removeprefix("nc: ") for line in lines if line.startswith("nc: ")), "")
    try:
        return trouble, base64.b64decode("".join(line for line in lines if not line.startswith("nc: ")))
    except binascii.Error:
        return trouble, b""


class Refused(Exception):
    """The answer is not TLS, or its certificate is not accepted; the text gives the reason."""


class Hello:
    """A TLS client that asks for `host`; another program carries its bytes.

    It trusts this machine's store and the certificates in `company` (PEM), whose name it reports when it meets them.
    """

    def __init__(self, host: str, company: bytes = b"") -> None:
        self.host = host
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context, own = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if company:
            for store in (context, own):
                store.load_verify_locations(cadata=company.decode())
        self._companies: list[Any] = [authority["subject"] for authority in own.get_ca_certs()]
        self._client = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        with suppress(ssl.SSLWantReadError):
            self._client.do_handshake()
        self.client_hello = self._outgoing.read()
        """RFC 8446, section 4.1.2."""

    def judge(self, answer: bytes) -> str:
        """Return the protocol and the issuer, from the server's first flight. Raises Refused.

        In TLS 1.3 it contains the certificate and proves its key; in TLS 1.2 the certificate is verified, its key not.
        """
        client = self._client
        self._incoming.write(answer)
        self._incoming.write_eof()
        try:
            client.do_handshake()
        except ssl.SSLCertVerificationError as error:
            raise Refused(error.verify_message) from error
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:  # which of them depends on OpenSSL
            if self._outgoing.read()[:1] in (b"", _ALERT):  # otherwise the client would continue
                raise Refused("the server closes the connection during the handshake") from error
            if answer[_RANDOM] == _RETRY:
                return "TLSv1.3, the server requests another key share; the certificate was not checked"
            return "TLSv1.2, the certificate is accepted"
        except ssl.SSLError as error:
            raise Refused(error.reason or str(error)) from error
        certificate: Any = client.getpeercert()  # typeshed has one type for all of its fields
        issuer = {name: value for part in certificate["issuer"] for name, value in part}
        by = issuer.get("organizationName") or issuer.get("commonName") or "an unnamed CA"
        opened = ", the company's CA: TLS is opened on the way" if certificate["issuer"] in self._companies else ""
        return f"{client.version()}, the certificate for {self.host} is by {by}{opened}"


@dataclass(frozen=True)
class EgressTrace:
    context: DoctorContext
    host: str
    port: int
    hello: Hello

    @property
    def which(self) -> str:
        return self.context.which

    @property
    def proxy(self) -> str:
        chosen = self.context.spec.network.proxy
        return proxy_settings.of_environment(self.context.environment).https if chosen == "auto" else chosen.https or ""

    @cached_property
    def parts(self) -> dict[str, str]:
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
        return read(run(self.context.cluster, image, argv))

    def part(self, title: str) -> str:
        return self.parts.get(title, "the pod ended before it")

    @property
    def connection(self) -> tuple[str, str]:
        title = next((title for title in self.parts if title.startswith(CONNECT)), CONNECT)
        return self.part(title), title.removeprefix(CONNECT)


def cluster_dns(trace: EgressTrace) -> Finding:
    name = "kubernetes.default.svc.cluster.local"
    addresses, last_line = resolved(trace.part("cluster"))
    return ok(f"{name} is {addresses}") if addresses else error(f"{name}: {last_line}")


def name(trace: EgressTrace) -> Finding:
    if "name" not in trace.parts:
        return skipped(f"{trace.host} is an address")
    addresses, last_line = resolved(trace.parts["name"])
    if addresses:
        return ok(f"{trace.host} is {addresses}")
    evidence = f"{trace.host}: {last_line}"
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
