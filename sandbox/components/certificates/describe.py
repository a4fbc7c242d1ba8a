"""A certificate's facts in words, for status output and for the question before a root is trusted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.hashes import SHA256

from sandbox.components.certificates import pem

# The beginning of an issuing authority's name (`authority.make_issuing`), as RFC 4514 writes it.
ISSUED_BY = "CN=Sandbox issuing "


@dataclass(frozen=True)
class Facts:
    """What a person wants to know of one certificate.

    `subject` and `issuer` are RFC 4514 strings (a leaf's subject is empty), `hosts` the subject alternative names,
    `permitted` the DNS domains an authority is constrained to, `days_left` whole days until `not_after` (negative once
    it has passed), `sha256` the fingerprint of the DER form as browsers show it: upper-case hex pairs with colons.
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

    @property
    def is_of_sandbox(self) -> bool:
        """Whether an issuing authority of a sandbox signed it, by that one's name: its key may be gone."""
        return self.issuer.startswith(ISSUED_BY)

    def __str__(self) -> str:
        """The beginning of the fingerprint and the days left, to tell one certificate from another in a line."""
        return f"{self.sha256[:11]}… ({self.days_left} days left)"


def describe(cert_pem: bytes, *, now: datetime) -> Facts:
    """The facts at `now` (aware) of the first certificate in `cert_pem`. Raises SandboxError when there is none."""
    certificate = pem.load_certificates(cert_pem)[0]
    return Facts(
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
