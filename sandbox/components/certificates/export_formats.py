"""The root for programs that do not use the system's trust store: alone, or together with the public roots."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12Certificate, serialize_java_truststore

from sandbox.components.certificates import pem
from sandbox.truststore.java import JAVA_PASSWORD
from sandbox.truststore.trusted_root import blocks

# Where systems keep the certificates they trust (Go, crypto/x509/root_linux.go).
SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine, Arch
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora
    "/etc/ssl/ca-bundle.pem",  # SUSE
)


def public_roots() -> bytes:
    """Return the certificates (PEM) that this system trusts, certifi's where it has no file of them."""
    # SSL_CERT_FILE may name an earlier export.
    bundle = next((path for name in SYSTEM_BUNDLES if (path := Path(name)).is_file()), Path(certifi.where()))
    return bundle.read_bytes()


def as_pem(root_pem: bytes, public: bytes) -> bytes:
    """Return the root alone, for programs that add it to their store: curl --cacert, NODE_EXTRA_CA_CERTS, browsers."""
    return pem.dump_certificate(pem.load_certificates(root_pem)[0])


def as_bundle(root_pem: bytes, public: bytes) -> bytes:
    """Return the root and the `public` ones (PEM), once each, for programs that replace their store: SSL_CERT_FILE."""
    root = as_pem(root_pem, public)
    return b"".join(dict.fromkeys((root, *(block + b"\n" for block in blocks(public)))))


def as_java(root_pem: bytes, public: bytes) -> bytes:
    """Return the same as a PKCS#12 truststore with the password `JAVA_PASSWORD`, which Java reads also as type JKS."""
    root = pem.load_certificates(root_pem)[0]
    aliases = {root: "sandbox"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about defects of old public roots
        for block in blocks(public):
            try:
                certificate = x509.load_pem_x509_certificate(block)
                aliases.setdefault(certificate, f"public {len(aliases)}")
            except ValueError:
                continue  # Java could not use it either
    entries = [PKCS12Certificate(certificate, alias.encode()) for certificate, alias in aliases.items()]
    return serialize_java_truststore(entries, BestAvailableEncryption(JAVA_PASSWORD.encode()))


FORMATS: Mapping[str, Callable[[bytes, bytes], bytes]] = {"pem": as_pem, "bundle": as_bundle, "p12": as_java}
