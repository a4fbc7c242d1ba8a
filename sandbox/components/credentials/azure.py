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
from sandbox.components.credentials.token_service import Service, Session
from sandbox.config import json_text
from sandbox.config.schema.credentials_schema import Acr
from sandbox.oci import address
from sandbox.oci.credential import Credential, CredentialsUnusable

USERNAME = "00000000-0000-0000-0000-000000000000"
"""Says to a registry that the password is a refresh token of its own."""

AUTHORITY = "https://login.microsoftonline.com"
SCOPE = "https://containerregistry.azure.net/.default"
LIFETIME = timedelta(hours=3)
_MADE_BY = "az ad sp create-for-rbac --role AcrPull --scopes REGISTRY-ID"
_PRINCIPAL = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")
_WORKLOAD = (*_PRINCIPAL[:2], "AZURE_FEDERATED_TOKEN_FILE")


@dataclass(frozen=True, kw_only=True)
class Principal:
    """A service principal: its tenant, its name and its password, and the authority that vouches for it."""

    tenant: str
    client: str
    secret: str = field(repr=False)
    authority: str


def login(entry: Acr, environ: Mapping[str, str], *, now: datetime) -> Login:
    """Return the account at the registry of `entry`. Raises CredentialsUnusable."""
    token, tenant = _access_token(entry, environ, Service("Microsoft's token service", now))
    url = str(address.parse(entry.registry))
    service = Service(f"the registry {entry.registry}", now)
    form = {"grant_type": "access_token", "service": entry.registry, "tenant": tenant, "access_token": token}
    refresh = service.text(service.post_json(f"{url}/oauth2/exchange", form), "refresh_token")
    return Login({entry.registry: Credential(USERNAME, refresh)}, now, _expiry(refresh) or now + LIFETIME)


def principal(entry: Acr, environ: Mapping[str, str]) -> Principal:
    """Return the service principal that `entry` names. Raises CredentialsUnusable."""
    return _from_file(entry.file) if entry.file else _from_environment(environ)


def _access_token(entry: Acr, environ: Mapping[str, str], service: Service) -> tuple[str, str]:
    """Return the directory's token for a registry, and the tenant. Raises CredentialsUnusable."""
    with importing("acr"):
        from azure.core.exceptions import ClientAuthenticationError
        from azure.identity import CredentialUnavailableError
    try:
        credential, tenant = _credential(entry, environ, service)
        token = credential.get_token(SCOPE).token
    except CredentialUnavailableError:
        raise CredentialsUnusable("az is not signed in", fix="az login, or name a file") from None
    except ClientAuthenticationError as error:
        if isinstance(error.__cause__, CredentialsUnusable):  # our own error, which the library has wrapped
            raise error.__cause__ from None
        if not environ.get("AZURE_CLIENT_ID") and not entry.file:
            said = str(error).strip().partition("\n")[0][:300]
            raise CredentialsUnusable("az gets no token", details=said, fix="az login") from None
        raise service.strange("no access_token") from None
    except OSError as error:
        brief = f"{error.filename} cannot be read"
        raise CredentialsUnusable(
            brief, details=error.strerror or "", fix="correct AZURE_FEDERATED_TOKEN_FILE"
        ) from None
    return service.text({"access_token": token}, "access_token"), tenant or str(json_text.claims(token).get("tid", ""))


def _credential(entry: Acr, environ: Mapping[str, str], service: Service) -> tuple[Any, str]:
    """Return azure-identity's credential and the tenant, if it is known.

    It is the one that the file or the variables describe, and otherwise that of `az login`: trying all kinds that the
    library has takes many seconds. Raises CredentialsUnusable.
    """
    from azure.core.pipeline.transport import RequestsTransport
    from azure.identity import AzureCliCredential, ClientSecretCredential, WorkloadIdentityCredential

    transport = RequestsTransport(session=Session(service), session_owner=False)
    if entry.file is None and all(map(environ.get, _WORKLOAD)) and not environ.get("AZURE_CLIENT_SECRET"):
        tenant, client, file = (environ[name] for name in _WORKLOAD)
        authority = _authority(environ.get("AZURE_AUTHORITY_HOST") or AUTHORITY)
        made = WorkloadIdentityCredential(
            tenant_id=tenant, client_id=client, token_file_path=file, authority=authority, transport=transport
        )
        return made, tenant
    if entry.file is None and not any(map(environ.get, _PRINCIPAL)) and shutil.which("az"):
        return AzureCliCredential(), ""
    found = principal(entry, environ)
    authority = _authority(found.authority)
    try:
        return ClientSecretCredential(
            found.tenant,
            found.client,
            found.secret,
            authority=authority,
            disable_instance_discovery=True,  # the authority is the user's own choice
            transport=transport,
        ), found.tenant
    except ValueError:
        raise CredentialsUnusable(f"{found.tenant} is no tenant of Azure", fix="correct the tenant") from None


def _authority(url: str) -> str:
    if "://" in url and not url.startswith("https://"):
        raise CredentialsUnusable(
            f"Microsoft's token service at {url} is not safe to use",
            details="keys are sent over https only",
            fix="correct the address in the file or in AZURE_AUTHORITY_HOST",
        )
    return url


def _from_file(path: Path) -> Principal:
    """Return the output of `az ad sp create-for-rbac`, with --sdk-auth or without."""
    content = registry_login.read_key_file(path, made_by=_MADE_BY)
    tenant, client, secret = (
        registry_login.key_text(path, content, *names, made_by=_MADE_BY)
        for names in (("tenant", "tenantId"), ("appId", "clientId"), ("password", "clientSecret"))
    )
    return Principal(
        tenant=tenant,
        client=client,
        secret=secret,
        authority=str(content.get("activeDirectoryEndpointUrl") or AUTHORITY),
    )


def _from_environment(environ: Mapping[str, str]) -> Principal:
    """Return the principal in the variables of Azure's SDKs (EnvironmentCredential)."""
    missing = [name for name in _PRINCIPAL if not environ.get(name)]
    if missing:
        raise CredentialsUnusable(f"{', '.join(missing)} is not set", fix="set it, or name a file, or: az login")
    tenant, client, secret = (environ[name] for name in _PRINCIPAL)
    return Principal(
        tenant=tenant, client=client, secret=secret, authority=environ.get("AZURE_AUTHORITY_HOST") or AUTHORITY
    )


def _expiry(token: str) -> datetime | None:
    """Return when a refresh token expires."""
    try:
        return datetime.fromtimestamp(int(json_text.claims(token)["exp"]), UTC)
    except (ValueError, KeyError, TypeError, OverflowError, OSError):  # the last for a year that libc cannot count
        return None
