"""Keys and certificates as bytes: what certificates say, which belong together, and whether they can still be used."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from cryptography.hazmat.primitives.hashes import SHA256

from sandbox.components.certificates import pem, subject_names
from sandbox.errors import SandboxError
from sandbox.quantities import count

# The beginning of an issuing authority's name (`authority.make_issuing`), as RFC 4514 writes it.
ISSUED_BY = "CN=Sandbox issuing "


@dataclass(frozen=True)
class KeyPair:
    """A private key (PKCS#8 PEM) and its certificate (PEM); a server's is followed by its issuer's, but by no root."""

    key_pem: bytes = field(repr=False)
    cert_pem: bytes


@dataclass(frozen=True)
class Facts:
    """What people ask of one certificate.

    `subject` and `issuer` are RFC 4514 strings (a leaf's subject is empty). `permitted` are the DNS domains of an
    authority. `sha256` is the fingerprint as browsers show it: upper-case hex pairs with colons.
    """

    subject: str
    issuer: str
    hosts: tuple[str, ...]
    permitted: tuple[str, ...]
    authority: bool
    not_before: datetime
    not_after: datetime
    days_left: int
    sha256: str

    def covers(self, host: str) -> bool:
        """Return whether it is valid for `host`; a wildcard is one label (RFC 6125, section 6.4.3)."""
        return host in self.hosts or f"*.{host.partition('.')[2]}" in self.hosts

    @property
    def is_of_sandbox(self) -> bool:
        # By the issuer's name, for its key may be gone.
        return self.issuer.startswith(ISSUED_BY)

    def __str__(self) -> str:
        return f"{self.sha256[:11]}… ({count(self.days_left, 'day')} left)"


def describe(cert_pem: bytes, *, now: datetime) -> Facts:
    """Return the facts at `now` (aware) of the first certificate in `cert_pem`. Raises SandboxError."""
    return chain(cert_pem, now=now)[0]


def chain(chain_pem: bytes, *, now: datetime) -> tuple[Facts, ...]:
    """Return the facts of the certificates in `chain_pem`, in order, at least one. Raises SandboxError."""
    return tuple(
        Facts(
            subject=certificate.subject.rfc4514_string(),
            issuer=certificate.issuer.rfc4514_string(),
            hosts=pem.hosts_of(certificate),
            permitted=pem.permitted_domains(certificate),
            authority=pem.is_authority(certificate),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            days_left=(certificate.not_valid_after_utc - now).days,
            sha256=certificate.fingerprint(SHA256()).hex(":").upper(),
        )
        for certificate in pem.load_certificates(chain_pem)
    )


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
        certificate = describe(pair.cert_pem, now=now)
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
        first, *rest = chain(leaf.cert_pem, now=now)
        issuing = describe(issuing_pem, now=now)
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
