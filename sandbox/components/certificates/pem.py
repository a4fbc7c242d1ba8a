"""Reads and writes keys and certificates as PEM, and describes certificates; damaged ones are one kind of error."""

from __future__ import annotations

import functools
import hashlib
import ssl
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from sandbox.errors import SandboxError
from sandbox.fast_dataclass import dataclass

# The beginning of an issuing authority's name (`authority.make_issuing`), as RFC 4514 writes it.
ISSUED_BY = "CN=Sandbox issuing "


def load_key(pem: bytes) -> EllipticCurvePrivateKey:
    """Return the elliptic-curve private key in `pem` (PKCS#8, unencrypted). Raises SandboxError when there is none."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _damaged("a private key", error) from error
    if not isinstance(key, EllipticCurvePrivateKey):
        raise _damaged("a private key", TypeError(f"expected an elliptic-curve key, found {type(key).__name__}"))
    return key


def load_certificates(pem: bytes) -> list[x509.Certificate]:
    """Return the certificates in `pem`, in order, at least one, with readable extensions. Raises SandboxError."""
    return list(_loaded(pem))


@functools.lru_cache(maxsize=64)  # one check reads an authority for each of its leaves
def _loaded(pem: bytes) -> tuple[x509.Certificate, ...]:
    try:
        found = x509.load_pem_x509_certificates(pem)
        for certificate in found:
            _ = certificate.extensions, certificate.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _damaged("a certificate", error) from error
    return tuple(found)


def dump_key(key: EllipticCurvePrivateKey) -> bytes:
    """`key` as unencrypted PKCS#8 PEM, what Kubernetes TLS Secrets and proxies read."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def dump_certificate(certificate: x509.Certificate) -> bytes:
    """`certificate` as PEM, ending in a newline."""
    return certificate.public_bytes(Encoding.PEM)


def hosts_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the DNS names and IP addresses `certificate` is for, in its order; empty for an authority."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(name.value) for name in names if isinstance(name, x509.DNSName | x509.IPAddress))


def permitted_domains(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the DNS domains the authority `certificate` is constrained to; empty when it has no such constraint."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(name.value for name in constraints.permitted_subtrees or () if isinstance(name, x509.DNSName))


def is_authority(certificate: x509.Certificate) -> bool:
    """Tell whether `certificate` may sign others (basic constraints CA:TRUE)."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def is_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Tell whether the name and key of `issuer` signed `certificate`; dates and constraints are not checked."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _damaged(what: str, error: Exception) -> SandboxError:
    return SandboxError(
        f"{what} cannot be read",
        details=str(error),
        fix="sandbox certs show tells which one; sandbox certs renew (--authority, --root) replaces it",
        id="certificate",
    )


@dataclass(frozen=True)
class Facts:
    """The facts of one certificate that people ask for.

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

    def covers(self, host: str) -> bool:
        """Tell whether it is valid for `host`; a wildcard is one label (RFC 6125, section 6.4.3)."""
        return host in self.hosts or f"*.{host.partition('.')[2]}" in self.hosts

    @property
    def is_of_sandbox(self) -> bool:
        """Tell whether an issuing authority of a sandbox signed it, by that one's name: its key may be gone."""
        return self.issuer.startswith(ISSUED_BY)

    def __str__(self) -> str:
        """Return the beginning of the fingerprint and the days left, to tell one certificate from another in a line."""
        return f"{self.sha256[:11]}… ({self.days_left} days left)"


@functools.cache
def fingerprint(cert_pem: str) -> str:
    """Return `Facts.sha256` of one certificate, without parsing it."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(cert_pem)).digest().hex(":").upper()


def days_left(cert_pem: bytes, *, now: datetime) -> int:
    """Return `Facts.days_left` of the first certificate in `cert_pem`. Raises SandboxError."""
    return (load_certificates(cert_pem)[0].not_valid_after_utc - now).days


def describe(cert_pem: bytes, *, now: datetime) -> Facts:
    """Return the facts at `now` (aware) of the first certificate in `cert_pem`.

    Raises SandboxError when there is none.
    """
    certificate = load_certificates(cert_pem)[0]
    return Facts(
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        hosts=hosts_of(certificate),
        permitted=permitted_domains(certificate),
        authority=is_authority(certificate),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        days_left=days_left(cert_pem, now=now),
        sha256=certificate.fingerprint(SHA256()).hex(":").upper(),
    )
