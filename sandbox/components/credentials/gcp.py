"""Google keys, logins and workload identities exchanged for an access token, a password at Google's registries.

google-auth asks for the token, which is valid for an hour.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sandbox.components.credentials import registry_login
from sandbox.components.credentials.cloud_sdk import importing
from sandbox.components.credentials.registry_login import Login
from sandbox.components.credentials.token_service import Service, Session
from sandbox.config.schema.credentials_schema import Gcr
from sandbox.oci import address
from sandbox.oci.credential import Credential, CredentialsUnusable

USERNAME = "oauth2accesstoken"
REGISTRIES = ("gcr.io", "*.gcr.io", "*.pkg.dev")
TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105
SCOPES = (
    "https://www.googleapis.com/auth/cloud-platform.read-only",
    "https://www.googleapis.com/auth/devstorage.read_only",
)
"""What is in the cluster can read only."""

LIFETIME = timedelta(hours=1)
_MADE_BY = "gcloud auth application-default login, or gcloud iam service-accounts keys create,"
_CONSENT = ("client_id", "client_secret", "refresh_token")
_ADDRESSES = ("token_url", "service_account_impersonation_url", "token_info_url")


def default_file(environ: Mapping[str, str]) -> Path:
    """Return the file that Google's libraries use by default (google.auth.default)."""
    if named := environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        return Path(named)
    folder = environ.get("CLOUDSDK_CONFIG")
    return (Path(folder) if folder else Path.home() / ".config" / "gcloud") / "application_default_credentials.json"


def login(entry: Gcr, environ: Mapping[str, str], *, now: datetime) -> Login:
    """Return the account at the registries of `entry`. Raises CredentialsUnusable."""
    path = entry.file or default_file(environ)
    key = registry_login.read_key_file(path, made_by=_MADE_BY)
    with importing("gcr"):
        import google.auth.exceptions
        from google.auth.transport.requests import Request
    service = Service("Google's token service", now)
    session: Any = Session(service)
    credentials = _credentials(path, key, environ)
    try:
        credentials.refresh(Request(session))
    except google.auth.exceptions.GoogleAuthError as error:
        # Everything after the first text is an answer.
        reason = str(error.args[0] if error.args else type(error).__name__).partition(" Error: ")[0]
        if reason.startswith("No access token"):
            raise service.strange("no access_token") from None
        raise _unusable(path, reason.partition("\n")[0]) from None
    except OSError as error:
        raise _unusable(path, f"{error.filename}: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise service.strange("no access_token") from None
    token = service.text({"access_token": credentials.token}, "access_token")
    # The library counts from this machine's time, which `now` need not equal.
    ends = credentials.expiry and credentials.expiry.replace(tzinfo=UTC) - datetime.now(UTC)
    accounts = dict.fromkeys(entry.registries or REGISTRIES, Credential(USERNAME, token))
    return Login(accounts, now, now + (ends or LIFETIME))


def _credentials(path: Path, key: Mapping[str, Any], environ: Mapping[str, str]) -> Any:
    """Return google-auth's credentials of a key file. Raises CredentialsUnusable, which does not repeat the key."""
    make = _MAKERS.get(str(key.get("type")))
    if make is None:
        raise _unusable(path, f"a key of type {' or '.join(_MAKERS)} is needed")
    needed = {"service_account": ("client_email", "private_key"), "authorized_user": _CONSENT}
    for name in needed.get(str(key["type"]), ()):
        registry_login.key_text(path, key, name, made_by=_MADE_BY)
    if key["type"] == "external_account" and path.resolve() != default_file(environ).resolve():
        _require_googles(path, key)
    try:
        return make(key)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        if key["type"] == "service_account":
            raise _unusable(path, "private_key is not a private key in PEM without a passphrase") from None
        raise _unusable(path, f"it is not of the form of {key['type']}: {type(error).__name__}") from None


def _require_googles(path: Path, key: Mapping[str, Any]) -> None:
    """Refuse what would run a program, or send a file of this user to others than Google.

    Only a file that the user's own environment names may do so (Google, "Externally sourced credentials").
    """
    source = key.get("credential_source")
    if isinstance(source, dict) and "executable" in source:
        raise _own_file_only(path, "it runs a program")
    domain = key.get("universe_domain", "googleapis.com")
    for url in (f"https://sts.{domain}", *(str(key[name]) for name in _ADDRESSES if key.get(name))):
        place = address.of_url(url)
        if place is None or not place.host.endswith(".googleapis.com"):
            shown = url.partition("?")[0].replace("\\", "/")  # where its host ends for most programs
            raise _own_file_only(path, f"it sends a token to {shown}, which is not Google's")


def _own_file_only(path: Path, reason: str) -> CredentialsUnusable:
    return CredentialsUnusable(
        f"{path} cannot be used",
        details=f"{reason}; only a file that your environment names may do that",
        fix=f"if you trust it: export GOOGLE_APPLICATION_CREDENTIALS={shlex.quote(str(path))}",
    )


def _unusable(path: Path, reason: str) -> CredentialsUnusable:
    return registry_login.unusable_file(path, reason, made_by=_MADE_BY)


def _service_account(key: Mapping[str, Any]) -> Any:
    from google.oauth2.service_account import Credentials

    made: Any = Credentials
    return made.from_service_account_info({"token_uri": TOKEN_URI, **key}, scopes=SCOPES)


def _authorized_user(key: Mapping[str, Any]) -> Any:
    """Return the credentials of a login, whose scopes were chosen when it was made."""
    from google.oauth2.credentials import Credentials

    made: Any = Credentials
    names = {name: key[name] for name in _CONSENT}
    return made(None, token_uri=key.get("token_uri") or TOKEN_URI, **names)


def _external_account(key: Mapping[str, Any]) -> Any:
    """Return those of a workload identity: a token from a file, an address, AWS or a program."""
    from google.auth import aws, identity_pool, pluggable

    made: Any = identity_pool
    if key.get("subject_token_type") == "urn:ietf:params:aws:token-type:aws4_request":
        made = aws
    elif "executable" in key["credential_source"]:
        made = pluggable
    return made.Credentials.from_info(key, scopes=SCOPES)


def _external_account_authorized_user(key: Mapping[str, Any]) -> Any:
    from google.auth.external_account_authorized_user import Credentials

    made: Any = Credentials
    return made.from_info(key)


def _impersonated_service_account(key: Mapping[str, Any]) -> Any:
    from google.auth.impersonated_credentials import Credentials

    made: Any = Credentials
    return made.from_impersonated_service_account_info(key, scopes=SCOPES)


_MAKERS = {
    "service_account": _service_account,
    "authorized_user": _authorized_user,
    "external_account": _external_account,
    "external_account_authorized_user": _external_account_authorized_user,
    "impersonated_service_account": _impersonated_service_account,
}
