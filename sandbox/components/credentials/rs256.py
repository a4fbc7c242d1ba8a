"""Signatures by RSA keys of services elsewhere (JWS RS256), since cryptography is imported here alone."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key


def sign(message: bytes, key_pem: bytes) -> bytes:
    """The signature (RFC 7518, 3.3) by an unencrypted RSA key. Raises ValueError, which does not repeat the key."""
    try:
        key = load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("not a private key in PEM without a passphrase") from None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("not an RSA key")  # noqa: TRY004  # the file is wrong, not the program
    return key.sign(message, PKCS1v15(), SHA256())
