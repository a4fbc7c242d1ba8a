"""A Google key or login traded for an access token, which is a password at Google's registries for an hour."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sandbox.components.credentials import registry_login
from sandbox.components.credentials.registry_login import Login
from sandbox.components.credentials.token_service import Service
from sandbox.config.schema.credentials_schema import Gcr
from sandbox.oci.credential import Credential

USERNAME = "oauth2accesstoken"
REGISTRIES = ("gcr.io", "*.gcr.io", "*.pkg.dev")
TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105
SCOPES = "https://www.googleapis.com/auth/cloud-platform.read-only https://www.googleapis.com/auth/devstorage.read_only"
"""What is in the cluster can read only."""

LIFETIME = timedelta(hours=1)
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_MADE_BY = "gcloud auth application-default login, or gcloud iam service-accounts keys create,"


def rs256_signature(message: bytes, key_pem: bytes) -> bytes:
    """Return the signature (RFC 7518, 3.3) by an unencrypted RSA key.

    Raises ValueError, which does not repeat the key.
    """
    try:
        key = load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("not a private key in PEM without a passphrase") from None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("not an RSA key")  # noqa: TRY004  # the file is wrong, not the program
    return key.sign(message, PKCS1v15(), SHA256())


def default_file(environ: Mapping[str, str]) -> Path:
    """Return where Google's libraries look (google.auth.default)."""
    if named := environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        return Path(named)
    folder = environ.get("CLOUDSDK_CONFIG")
    return (Path(folder) if folder else Path.home() / ".config" / "gcloud") / "application_default_credentials.json"


def login(entry: Gcr, environ: Mapping[str, str], *, now: datetime) -> Login:
    """Return the account at the registries of `entry`. Raises CredentialsUnusable."""
    path = entry.file or default_file(environ)
    key = registry_login.read_key_file(path, made_by=_MADE_BY)
    kind = key.get("type")
    if kind == "service_account":
        form, secrets = _by_key(path, key, now)
    elif kind == "authorized_user":
        form, secrets = _by_consent(path, key)
    else:
        known = "a key of type service_account or authorized_user is needed"
        raise registry_login.unusable_file(path, known, made_by=_MADE_BY)
    service = Service("Google's token service", str(key.get("token_uri") or TOKEN_URI), secrets, now)
    content = service.post_json(form)
    token = service.text(content, "access_token")
    seconds = content.get("expires_in")
    lifetime = timedelta(seconds=seconds) if isinstance(seconds, int) and seconds > 0 else LIFETIME
    accounts = dict.fromkeys(entry.registries or REGISTRIES, Credential(USERNAME, token))
    return Login(accounts, now, now + lifetime)


def _by_key(path: Path, key: Mapping[str, Any], now: datetime) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Return the question of a service account (RFC 7523.

    Google, "Using OAuth 2.0 for Server to Server Applications").
    """
    issued = int(now.timestamp())
    header = {"alg": "RS256", "typ": "JWT"}
    if key.get("private_key_id"):
        header["kid"] = str(key["private_key_id"])
    claims = {
        "iss": registry_login.key_text(path, key, "client_email", made_by=_MADE_BY),
        "scope": SCOPES,
        "aud": str(key.get("token_uri") or TOKEN_URI),
        "iat": issued,
        "exp": issued + int(LIFETIME.total_seconds()),
    }
    pem = registry_login.key_text(path, key, "private_key", made_by=_MADE_BY)
    body = f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(claims).encode())}"
    try:
        signature = rs256_signature(body.encode(), pem.encode())
    except ValueError as error:
        raise registry_login.unusable_file(path, f"private_key is {error}", made_by=_MADE_BY) from None
    assertion = f"{body}.{_encoded(signature)}"
    return {"grant_type": _GRANT, "assertion": assertion}, (assertion, pem)


def _by_consent(path: Path, key: Mapping[str, Any]) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Return the question of a user who signed in (RFC 6749, 6)."""
    names = ("client_id", "client_secret", "refresh_token")
    found = {name: registry_login.key_text(path, key, name, made_by=_MADE_BY) for name in names}
    return {"grant_type": "refresh_token", **found}, (found["client_secret"], found["refresh_token"])


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
