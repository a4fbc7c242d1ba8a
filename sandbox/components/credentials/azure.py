"""An Azure account exchanged for a refresh token of one container registry, valid for three hours.

azure-identity asks the directory for an access token; the exchange at the registry is our own code.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sandbox.components.credentials import registry_login
from sandbox.components.credentials.cloud_sdk import importing
from sandbox.components.credentials.registry_login import Login
from sandbox.config import json_text
from sandbox.config.schema.credentials_schema import Acr
from sandbox.oci import address
from sandbox.oci.credential import Credential, CredentialsUnusable
from sandbox.oci.http_session import HttpSession, NoResponse

USERNAME = "00000000-0000-0000-0000-000000000000"
"""Says to a registry that the password is a refresh token of its own."""

AUTHORITY = "https://login.microsoftonline.com"
SCOPE = "https://containerregistry.azure.net/.default"
LIFETIME = timedelta(hours=3)
_MADE_BY = "az ad sp create-for-rbac --role AcrPull --scopes REGISTRY-ID"
_PRINCIPAL = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")
_WORKLOAD = (*_PRINCIPAL[:2], "AZURE_FEDERATED_TOKEN_FILE")


@dataclass(frozen=True, kw_only=True)
class _Principal:
    """A service principal: its tenant, its name and its password, and the authority that vouches for it."""

    tenant: str
    client: str
    secret: str = field(repr=False)
    authority: str


def login(entry: Acr, environ: Mapping[str, str], *, now: datetime) -> Login:
    """Return the account at the registry of `entry`. Raises CredentialsUnusable."""
    token, tenant = _access_token(entry, environ)
    refresh = _exchange(entry.registry, tenant, token)
    return Login({entry.registry: Credential(USERNAME, refresh)}, now, _expiry(refresh) or now + LIFETIME)


def _access_token(entry: Acr, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the directory's token for a registry, and the tenant. Raises CredentialsUnusable."""
    with importing("acr"):
        from azure.core.exceptions import AzureError
        from azure.identity import CredentialUnavailableError
    try:
        credential, tenant = _credential(entry, environ)
        token = credential.get_token(SCOPE).token
    except CredentialUnavailableError:
        raise CredentialsUnusable("az is not signed in", fix="az login, or name a file") from None
    except AzureError as error:
        raise CredentialsUnusable(
            "Microsoft gives no token",
            details=str(error).strip().partition("\n")[0][:300],
            fix="az login, or make a new secret: az ad sp credential reset; then sandbox credentials refresh",
        ) from None
    except (ValueError, OSError) as error:  # of an authority, a tenant or AZURE_FEDERATED_TOKEN_FILE
        fix = "correct it in the file or in AZURE_*"
        raise CredentialsUnusable("the Azure account cannot be used", details=str(error), fix=fix) from None
    return token, tenant or str(json_text.claims(token).get("tid", ""))


def _credential(entry: Acr, environ: Mapping[str, str]) -> tuple[Any, str]:
    """Return azure-identity's credential and the tenant, if it is known.

    It is the one that the file or the variables describe, and otherwise that of `az login`: trying all kinds that the
    library has takes many seconds. Raises CredentialsUnusable.
    """
    from azure.identity import AzureCliCredential, ClientSecretCredential, WorkloadIdentityCredential

    if entry.file is None and all(map(environ.get, _WORKLOAD)) and not environ.get("AZURE_CLIENT_SECRET"):
        tenant, client, file = (environ[name] for name in _WORKLOAD)
        authority = environ.get("AZURE_AUTHORITY_HOST") or AUTHORITY
        workload = WorkloadIdentityCredential(
            tenant_id=tenant, client_id=client, token_file_path=file, authority=authority
        )
        return workload, tenant
    if entry.file is None and not any(map(environ.get, _PRINCIPAL)) and shutil.which("az"):
        return AzureCliCredential(), ""
    account = _from_file(entry.file) if entry.file else _from_environment(environ)
    return ClientSecretCredential(
        account.tenant,
        account.client,
        account.secret,
        authority=account.authority,
        disable_instance_discovery=True,  # the authority is the user's own choice
    ), account.tenant


def _exchange(registry: str, tenant: str, token: str) -> str:
    """Return the registry's refresh token for a token of the directory. Raises CredentialsUnusable.

    https://github.com/Azure/acr/blob/main/docs/AAD-OAuth.md
    """
    place = address.parse(registry)
    session = HttpSession(place)
    form = {"grant_type": "access_token", "service": registry, "tenant": tenant, "access_token": token}
    try:
        response = session.request("POST", f"{place}/oauth2/exchange", {}, form, follow=False)
    except NoResponse as error:
        fix = "try again later: sandbox credentials refresh"
        raise CredentialsUnusable(f"the registry {registry} does not answer", details=str(error), fix=fix) from None
    finally:
        session.close()
    if response.status_code != 200:
        raise CredentialsUnusable(
            f"the registry {registry} refuses these credentials",
            details=f"HTTP status {response.status_code}",
            fix="give the account the right to pull from this registry (AcrPull)",
        )
    return str(json_text.document(response.content)["refresh_token"])


def _from_file(path: Path) -> _Principal:
    """Return the output of `az ad sp create-for-rbac`, with --sdk-auth or without."""
    content = registry_login.read_key_file(path, made_by=_MADE_BY)
    tenant, client, secret = (
        registry_login.key_text(path, content, *names, made_by=_MADE_BY)
        for names in (("tenant", "tenantId"), ("appId", "clientId"), ("password", "clientSecret"))
    )
    authority = str(content.get("activeDirectoryEndpointUrl") or AUTHORITY)
    return _Principal(tenant=tenant, client=client, secret=secret, authority=authority)


def _from_environment(environ: Mapping[str, str]) -> _Principal:
    missing = [name for name in _PRINCIPAL if not environ.get(name)]
    if missing:
        raise CredentialsUnusable(f"{', '.join(missing)} is not set", fix="set it, or name a file, or: az login")
    tenant, client, secret = (environ[name] for name in _PRINCIPAL)
    authority = environ.get("AZURE_AUTHORITY_HOST") or AUTHORITY
    return _Principal(tenant=tenant, client=client, secret=secret, authority=authority)


def _expiry(token: str) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(json_text.claims(token)["exp"]), UTC)
    except (ValueError, KeyError):
        return None
