"""Reads and writes keys and certificates as PEM; damaged ones are one kind of error."""

from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from sandbox.errors import SandboxError

Extension = TypeVar("Extension", bound=x509.ExtensionType)


def load_key(pem: bytes) -> EllipticCurvePrivateKey:
    """Return the elliptic-curve private key in `pem` (PKCS#8, unencrypted). Raises SandboxError."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _damaged("a private key", error) from error
    if not isinstance(key, EllipticCurvePrivateKey):
        raise _damaged("a private key", TypeError(f"expected an elliptic-curve key, found {type(key).__name__}"))
    return key


def load_certificates(pem: bytes) -> list[x509.Certificate]:
    """Return the certificates in `pem`, in order, at least one, with readable extensions. Raises SandboxError."""
    try:
        certificates = x509.load_pem_x509_certificates(pem)
        for certificate in certificates:
            _ = certificate.extensions, certificate.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _damaged("a certificate", error) from error
    return certificates


def dump_key(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def dump_certificate(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def is_authority(certificate: x509.Certificate) -> bool:
    constraints = _extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def hosts_of(certificate: x509.Certificate) -> tuple[str, ...]:
    names = _extension(certificate, x509.SubjectAlternativeName) or ()
    return tuple(str(name.value) for name in names if isinstance(name, x509.DNSName | x509.IPAddress))


def permitted_domains(certificate: x509.Certificate) -> tuple[str, ...]:
    constraints = _extension(certificate, x509.NameConstraints)
    subtrees = (constraints and constraints.permitted_subtrees) or ()
    return tuple(name.value for name in subtrees if isinstance(name, x509.DNSName))


def _extension(certificate: x509.Certificate, kind: type[Extension]) -> Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def is_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Return whether the key of `issuer` signed `certificate`; dates and constraints are not checked."""
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
