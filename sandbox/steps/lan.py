"""Who else than this machine may come in, for the plan to arrange and for commands to say."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.certs.keystore import Keystore
from sandbox.proxy import lan
from sandbox.spec import Settled, Spec
from sandbox.steps.authority import RENEW


@dataclass(frozen=True)
class Access:
    """Whether a sandbox is open to this machine's networks, and its domains for those who are there.

    The authority may vouch for `domains` and may not for `unvouched`: those addresses are newer than its root.
    """

    open: bool
    domains: tuple[str, ...] = ()
    unvouched: tuple[str, ...] = ()


def access(spec: Spec, keystore: Keystore) -> Access:
    """What the spec asks for, on this machine's addresses of now."""
    if not lan.is_open(spec.proxy.listen):
        return Access(open=False)
    wanted = lan.domains(spec.name, spec.proxy.listen) if not spec.runs_process else ()
    vouched = keystore.permitted(wanted)
    return Access(True, vouched, tuple(domain for domain in wanted if domain not in vouched))


def warning(found: Access, spec: Settled) -> str:
    """What everybody has to know of a sandbox that is open, in a line."""
    ports = ", ".join(map(str, spec.proxy.ports))
    said = f"open to this machine's networks: {spec.proxy.listen}, port {ports}"
    if not found.unvouched:
        return said
    return f"{said}; no certificate for {', '.join(found.unvouched)}, {RENEW} makes a root for it"


def urls(found: Access, spec: Settled, hosts: tuple[str, ...]) -> tuple[str, ...]:
    """Where a phone or a colleague finds `hosts` of the sandbox."""
    return lan.urls(hosts, domain=spec.domain, aliases=found.domains, port=spec.proxy.ports[0])
