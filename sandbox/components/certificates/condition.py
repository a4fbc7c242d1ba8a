"""Judges whether a key and certificate can still be used, wherever they are kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from sandbox.components.certificates import facts, subject_names
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
        """Return `fix`, after the clock where that may be what is wrong."""
        return f"set this machine's clock; where it is right, {fix}" if self.early else fix


GOOD = Condition(CertificateState.GOOD)
ABSENT = Condition(CertificateState.ABSENT, "not made yet")


def broken(reason: str) -> Condition:
    return Condition(CertificateState.BROKEN, reason)


def judge_authority(
    pair: KeyPair, *, issuer_pem: bytes | None, domains: Iterable[str], now: datetime, needs_key: bool = True
) -> Condition:
    """Return the condition of the authority `pair` at `now`, for issuing certificates in all of `domains`.

    It must be signed by `issuer_pem`, or by itself when that is None. Without `needs_key` an empty `key_pem` is
    accepted: a root's key may be kept elsewhere.
    """
    try:
        certificate = facts.describe(pair.cert_pem, now=now)
        signed = facts.is_signed(pair.cert_pem, pair.cert_pem if issuer_pem is None else issuer_pem)
        if (needs_key or pair.key_pem) and not facts.is_pair(pair.key_pem, pair.cert_pem):
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
        signed = facts.is_signed(leaf.cert_pem, issuing_pem)
        if not facts.is_pair(leaf.key_pem, leaf.cert_pem):
            return broken("key does not match the certificate")
    except SandboxError as error:
        return broken(str(error))
    if rest != [issuing] or not signed:
        return broken("issuer changed")
    expected, present = set(subject_names.unique_hosts(hosts)), set(first.hosts)
    if expected != present:
        added = [f"+{host}" for host in sorted(expected - present)]
        changes = added + [f"-{host}" for host in sorted(present - expected)]
        return broken(f"hosts differ: {' '.join(changes)}")
    return _judge_age(first, now)


def _judge_age(certificate: Facts, now: datetime) -> Condition:
    begins, ends = certificate.not_before, certificate.not_after
    if now > ends:
        return broken(f"expired on {ends:%Y-%m-%d}")
    if now < begins:
        reason = f"not valid before {begins:%Y-%m-%d %H:%M} UTC: is the clock right?"
        return Condition(CertificateState.BROKEN, reason, early=True)
    if now - begins >= (ends - begins) * 2 / 3:
        return Condition(
            CertificateState.DUE, f"renewal due, {count((ends - now).days, 'day')} left until {ends:%Y-%m-%d}"
        )
    return GOOD
