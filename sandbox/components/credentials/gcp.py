"""Google keys, logins and workload identities exchanged for an access token, a password at Google's registries."""

import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandbox.components.credentials import registry_login
from sandbox.components.credentials.registry_login import Login, importing
from sandbox.config.schema.credentials_schema import Gcr
from sandbox.oci.credential import Credential, CredentialsUnusable

USERNAME = "oauth2accesstoken"
REGISTRIES = ("gcr.io", "*.gcr.io", "*.pkg.dev")
SCOPES = (  # the cluster may only read
    "https://www.googleapis.com/auth/cloud-platform.read-only",
    "https://www.googleapis.com/auth/devstorage.read_only",
)
TYPES = "service_account, authorized_user, impersonated_service_account or external_account"
_MADE_BY = "gcloud auth application-default login, or gcloud iam service-accounts keys create,"


def default_file(environ: Mapping[str, str]) -> Path:
    """Return the file that Google's libraries use by default (google.auth.default)."""
    if named := environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        return Path(named)
    folder = environ.get("CLOUDSDK_CONFIG")
    return (Path(folder) if folder else Path.home() / ".config" / "gcloud") / "application_default_credentials.json"


def login(entry: Gcr, environ: Mapping[str, str], *, now: datetime) -> Login:
    path = entry.file or default_file(environ)
    key = registry_login.read_key_file(path, made_by=_MADE_BY)
    with importing("gcr"):
        import google.auth.exceptions
        from google.auth.transport.requests import Request
    if key.get("type") == "external_account" and path.resolve() != default_file(environ).resolve():
        # It may send any file of this user to any address (Google, "Externally sourced credentials").
        raise CredentialsUnusable(
            f"{path} cannot be used",
            details="it sends a token to an address; only a file that your environment names may do that",
            fix=f"if you trust it: export GOOGLE_APPLICATION_CREDENTIALS={shlex.quote(str(path))}",
        )
    try:
        credentials = _credentials(key)
    except (google.auth.exceptions.GoogleAuthError, ValueError, TypeError, KeyError, AttributeError) as error:
        # The text may contain the key.
        raise _unusable(path, f"it is not of the form of {key.get('type')}: {type(error).__name__}") from None
    if credentials is None:
        raise _unusable(path, f"a key of type {TYPES} is needed")
    try:
        credentials.refresh(Request())
    except google.auth.exceptions.GoogleAuthError as error:
        reason = str(error.args[0] if error.args else error).partition("\n")[0]  # what follows is the answer
        fix = "make a new key, or gcloud auth application-default login; then sandbox credentials refresh"
        raise CredentialsUnusable("Google gives no token", details=reason, fix=fix) from None
    lifetime = credentials.expiry.replace(tzinfo=UTC) - datetime.now(UTC)
    accounts = dict.fromkeys(entry.registries or REGISTRIES, Credential(USERNAME, credentials.token))
    return Login(accounts, now, now + lifetime)


def _credentials(key: Mapping[str, Any]) -> Any:
    # Not google.auth's loader of any type, which needs one more right and request.
    from google.auth import identity_pool, impersonated_credentials
    from google.oauth2 import credentials, service_account

    match key.get("type"):
        case "service_account":
            return service_account.Credentials.from_service_account_info(key, scopes=SCOPES)  # type: ignore[no-untyped-call]
        case "authorized_user":  # whose scopes were chosen at the login
            return credentials.Credentials.from_authorized_user_info(key)  # type: ignore[no-untyped-call]
        case "impersonated_service_account":
            maker: Any = impersonated_credentials.Credentials
            return maker.from_impersonated_service_account_info(key, scopes=SCOPES)
        case "external_account":
            return identity_pool.Credentials.from_info(key, scopes=SCOPES)  # type: ignore[no-untyped-call]
        case _:
            return None


def _unusable(path: Path, reason: str) -> CredentialsUnusable:
    return registry_login.unusable_file(path, reason, made_by=_MADE_BY)
