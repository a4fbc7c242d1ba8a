"""Real roots to put into stores, one that stands for everybody else's, and a machine to plan for."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from sandbox.components.certificates.authority import make_root
from sandbox.truststore.stores import Machine
from sandbox.truststore.trusted_root import Root, parse
from tests.support.tls import certificate

NOW = datetime.now(UTC)
FILE = Path("/state/trust/root.crt")


@cache
def ours(number: int = 0) -> Root:
    return parse(make_root([f"demo{number}.sandbox.localhost"], now=NOW).cert_pem)


@cache
def stranger(organization: str = "Sandbox") -> bytes:
    key = generate_private_key(SECP256R1())
    name = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization), x509.NameAttribute(NameOID.COMMON_NAME, "Root")]
    )
    return certificate(name, key).public_bytes(Encoding.PEM)


def machine(folder: Path, **more: object) -> Machine:
    return Machine(home=folder / "home", folder=folder / "trust", **more)  # type: ignore[arg-type]
