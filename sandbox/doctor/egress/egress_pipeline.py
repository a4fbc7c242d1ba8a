"""The order in which the way out is judged; what builds on something that fails is not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from sandbox.doctor.check import Check, finding
from sandbox.doctor.doctor_context import Contact, Scene
from sandbox.doctor.egress.egress_context import Trip
from sandbox.doctor.egress.probe_script import received
from sandbox.doctor.egress.tls_client import Hello, Refused
from sandbox.doctor.row import Finding, Row, Status, error, ok, row, skipped, warn
from sandbox.doctor.tls.tls_context import parse
from sandbox.names import HOST

# What images come from, mostly; minikube tries the same.
DESTINATION = "registry.k8s.io"
CONNECT = "connect "


def pod(trip: Trip) -> Finding:
    """Whether a pod comes up at all and can be read."""
    if not trip.tried.parts:
        return error("a pod ran and wrote nothing")
    return ok(f"a pod ran for {trip.tried.seconds:.0f} s in all")


def cluster_dns(trip: Trip) -> Finding:
    """Whether the cluster's own names resolve."""
    said = trip.part("cluster")
    if not said.addresses:
        return error(f"kubernetes.default.svc.cluster.local: {said.last}")
    return ok(f"kubernetes.default.svc.cluster.local is {', '.join(said.addresses)}")


def nameservers(trip: Trip) -> Finding:
    """Whether every nameserver that the cluster's DNS forwards to answers a pod."""
    if not trip.nameservers:
        return error("the cluster's DNS forwards to none", "sandbox up{which}")
    silent = {server: said.last for server in trip.nameservers if not (said := trip.part(f"server {server}")).answered}
    told = ", ".join(f"{server}: {why}" for server, why in silent.items())
    if len(silent) == len(trip.nameservers):
        return error(told)
    return (
        warn(f"{told}; every name that it is asked for takes longer")
        if silent
        else ok(f"{', '.join(trip.nameservers)} answer" + ("s" if len(trip.nameservers) == 1 else ""))
    )


def name(trip: Trip) -> Finding:
    """Whether the name of the destination resolves through both."""
    said = trip.tried.parts.get("name")
    if said is None:
        return skipped(f"{trip.host} is an address")
    if said.addresses:
        return ok(f"{trip.host} is {', '.join(said.addresses)}")
    evidence = f"{trip.host}: {said.last}"
    return warn(f"{evidence}; the proxy may know it") if trip.proxy else error(evidence)


def gateway(trip: Trip) -> Finding:
    """Whether this machine, the way to everything else, answers under its name."""
    here, ping = trip.part("here"), trip.part("ping")
    if not here.addresses:
        return error(f"{HOST}: {here.last}", "sandbox up{which}")
    where = f"{HOST} is {here.addresses[0]}"
    contact = trip.scene.contact
    if isinstance(contact, Contact) and contact.facts.rootless:
        return warn(f"{where}, which is the rootless engine's own namespace and not this machine")
    if not ping.succeeded:
        return warn(f"{where}, and does not answer a ping")
    took = re.search(r"time=([\d.]+) ms", ping.output)
    return ok(f"{where} and answers" + (f" in {took[1]} ms" if took else ""))


def tcp(trip: Trip) -> Finding:
    """Whether a connection comes about, or one to the proxy."""
    title = _connection(trip)
    trouble, _ = received(trip.part(title))
    to = _place(trip, title)
    if not title.removeprefix(CONNECT):
        return error(f"{to} has no address")
    return error(f"{to}: {trouble}") if trouble else ok(f"{to} takes a connection")


def tls(trip: Trip) -> Finding:
    """Whether TLS comes about, with a certificate that this machine would accept."""
    _, answer = received(trip.part(_connection(trip)))
    if trip.proxy:
        head, _, answer = answer.partition(b"\r\n\r\n")
        status = head.split(b"\r\n")[0].decode(errors="replace")
        if " 407" in status:
            return skipped("the proxy wants an account, which is not tried")
        if " 200" not in status:
            return error(f"the proxy says {status or 'nothing'}", "ask whoever runs the proxy")
    if not answer:
        return error(f"{trip.host}:{trip.port} says nothing to a client that begins TLS")
    try:
        return ok(trip.hello.judge(answer))
    except Refused as refused:
        return error(f"{trip.host}:{trip.port}: {refused}")


def _connection(trip: Trip) -> str:
    """The title of the part about the connection, which ends in the address, if there is one."""
    return next((title for title in trip.tried.parts if title.startswith(CONNECT)), CONNECT)


def _place(trip: Trip, title: str) -> str:
    """What the pod connected to."""
    parts = urlsplit(trip.proxy)
    host, port = (f"the proxy {parts.hostname}", parts.port or 80) if trip.proxy else (trip.host, trip.port)
    address = title.removeprefix(CONNECT)
    return f"{host}:{port}" + (f" at {address}" if address and address != host else "")


CHECKS: tuple[Check[Trip], ...] = (
    Check("outbound.pod", "a pod runs", "sandbox status{which}; when it is not ready, sandbox up{which}", pod),
    Check(
        "outbound.dns",
        "the cluster's own names resolve",
        "sandbox up{which}; kubectl -n kube-system logs deployment/coredns says why not",
        cluster_dns,
    ),
    Check(
        "outbound.nameservers",
        "the nameservers answer pods",
        "name others in sandbox.yaml, such as network: {nameservers: [1.1.1.1, 8.8.8.8]}, then sandbox up{which}; with "
        "a VPN, those that it brings",
        nameservers,
    ),
    Check(
        "outbound.name",
        "the destination's name resolves",
        "name nameservers that know it in sandbox.yaml (network.nameservers), or the address itself (network.hosts), "
        "then sandbox up{which}",
        name,
    ),
    Check(
        "outbound.gateway",
        "this machine answers pods",
        "let its firewall take what comes from Docker's networks; with ufw: sudo ufw allow from 172.16.0.0/12",
        gateway,
    ),
    Check(
        "outbound.tcp",
        "a connection to the destination comes about",
        "see that this machine forwards (sudo sysctl net.ipv4.ip_forward=1) and no firewall drops what comes from "
        "Docker's networks; where only a proxy gets out, name it: network: {proxy: {https: http://HOST:PORT}}",
        tcp,
    ),
    Check(
        "outbound.tls",
        "TLS comes about, with a certificate that this machine accepts",
        "when a company's firewall answers in the destination's place, give your images its root certificate",
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


def examine(scene: Scene, text: str) -> Iterator[Row]:
    """Try the way from a pod to `text` (HOST or HOST:PORT), a row a step. Raises UsageError for what is no host."""
    host, port = parse(text)
    trip = Trip(scene, host, port or 443, Hello(host))
    failed: set[str] = set()
    for check in CHECKS:
        missing = next((need for need in NEEDS.get(check.id, ()) if need in failed), None)
        if missing:
            failed.add(check.id)
            yield row(check.id, skipped(f"not looked at: {missing} failed"), fix="", which="")
            continue
        # In this thread, so that the pod is taken away before an interrupt ends the command.
        one = row(check.id, finding(check, trip), fix=check.fix, which=trip.which)
        if one.status is Status.ERROR:
            failed.add(check.id)
        yield one
