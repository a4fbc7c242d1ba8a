"""Keys and certificates as bytes, what certificates say, and which belong together."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.hazmat.primitives.hashes import SHA256

from sandbox.components.certificates import pem
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


def fingerprint(cert_pem: str) -> str:
    """Return the SHA-256 fingerprint of a certificate, as colon-separated hexadecimal bytes."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(cert_pem)).digest().hex(":").upper()


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
