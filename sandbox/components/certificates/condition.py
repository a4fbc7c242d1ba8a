"""Judges whether a key and certificate can still be used, wherever they are kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from sandbox.components.certificates import facts, pem, subject_names
from sandbox.components.certificates.facts import Facts, KeyPair
from sandbox.errors import SandboxError
from sandbox.quantities import count


class CertificateState(Enum):
    """The state of a certificate: DUE, after two thirds of its life, still works; BROKEN does not, or is not safe."""

    ABSENT = "absent"
    GOOD = "good"
    DUE = "due"
    BROKEN = "broken"


@dataclass(frozen=True)
class Condition:
    """A state, and for anything but GOOD the reason in a few words; `early` tells that its validity has not begun."""

    state: CertificateState
    reason: str = ""
    early: bool = False

    @property
    def usable(self) -> bool:
        return self.state in (CertificateState.GOOD, CertificateState.DUE)

    def advice(self, fix: str) -> str:
        return f"set this machine's clock; where it is right, {fix}" if self.early else fix


GOOD = Condition(CertificateState.GOOD)
ABSENT = Condition(CertificateState.ABSENT, "not made yet")


def broken(reason: str) -> Condition:
    return Condition(CertificateState.BROKEN, reason)


def judge_authority(
    pair: KeyPair, *, issuer_pem: bytes | None, domains: Iterable[str], now: datetime, needs_key: bool = True
) -> Condition:
    """Return the condition of an authority for all of `domains`; it signs itself where `issuer_pem` is None."""
    try:
        certificate = facts.describe(pair.cert_pem, now=now)
        signed = _is_signed(pair.cert_pem, pair.cert_pem if issuer_pem is None else issuer_pem)
        if (needs_key or pair.key_pem) and not _is_pair(pair):
            return broken("key does not match the certificate")
    except SandboxError as error:
        return broken(str(error))
    if not certificate.authority:
        return broken("not the certificate of an authority")
    if not signed:
        return broken("issuer changed")
    outside = [domain for domain in domains if not subject_names.is_inside(domain, certificate.permitted)]
    if outside:
        return broken(f"not permitted to vouch for {', '.join(outside)}")
    return _judge_age(certificate, now)


def judge_leaf(leaf: KeyPair, *, issuing_pem: bytes, hosts: Sequence[str], now: datetime) -> Condition:
    """Return the condition of `leaf` at `now` as the certificate of exactly `hosts`, issued by `issuing_pem`."""
    try:
        first, *rest = facts.chain(leaf.cert_pem, now=now)
        issuing = facts.describe(issuing_pem, now=now)
        signed = _is_signed(leaf.cert_pem, issuing_pem)
        if not _is_pair(leaf):
            return broken("key does not match the certificate")
    except SandboxError as error:
        return broken(str(error))
    if rest != [issuing] or not signed:
        return broken("issuer changed")
    expected, present = set(subject_names.unique_hosts(hosts)), set(first.hosts)
    if expected != present:
        changes = [f"+{host}" for host in sorted(expected - present)]
        changes += [f"-{host}" for host in sorted(present - expected)]
        return broken(f"hosts differ: {' '.join(changes)}")
    return _judge_age(first, now)


def _is_pair(pair: KeyPair) -> bool:
    return pem.load_key(pair.key_pem).public_key() == pem.load_certificates(pair.cert_pem)[0].public_key()


def _is_signed(cert_pem: bytes, issuer_pem: bytes) -> bool:
    return pem.is_signed_by(pem.load_certificates(cert_pem)[0], pem.load_certificates(issuer_pem)[0])


def _judge_age(certificate: Facts, now: datetime) -> Condition:
    begins, ends = certificate.not_before, certificate.not_after
    if now > ends:
        return broken(f"expired on {ends:%Y-%m-%d}")
    if now < begins:
        reason = f"not valid before {begins:%Y-%m-%d %H:%M} UTC: is the clock right?"
        return Condition(CertificateState.BROKEN, reason, early=True)
    if now - begins >= (ends - begins) * 2 / 3:
        days = count((ends - now).days, "day")
        return Condition(CertificateState.DUE, f"renewal due, {days} left until {ends:%Y-%m-%d}")
    return GOOD
