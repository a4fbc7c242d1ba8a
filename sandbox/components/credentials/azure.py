"""An Azure service principal traded for a refresh token of one container registry, which holds for three hours."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sandbox.components.credentials import registry_login
from sandbox.components.credentials.registry_login import Login
from sandbox.components.credentials.token_service import Service
from sandbox.config.schema.credentials_schema import Acr
from sandbox.oci import address
from sandbox.oci.credential import Credential, CredentialsUnusable

USERNAME = "00000000-0000-0000-0000-000000000000"
"""Says to a registry that the password is a refresh token of its own."""

AUTHORITY = "https://login.microsoftonline.com"
SCOPE = "https://containerregistry.azure.net/.default"
LIFETIME = timedelta(hours=3)
_MADE_BY = "az ad sp create-for-rbac --role AcrPull --scopes REGISTRY-ID"


@dataclass(frozen=True, kw_only=True)
class Principal:
    """A service principal: whose it is, its name and its password, and who vouches for it."""

    tenant: str
    client: str
    secret: str = field(repr=False)
    authority: str


def login(entry: Acr, environ: Mapping[str, str], *, now: datetime) -> Login:
    """Return the account at the registry of `entry`. Raises CredentialsUnusable."""
    account = principal(entry, environ)
    token = _access_token(account, now)
    url = str(address.parse(entry.registry))
    service = Service(f"the registry {entry.registry}", f"{url}/oauth2/exchange", (token,), now)
    form = {
        "grant_type": "access_token",
        "service": entry.registry,
        "tenant": account.tenant,
        "access_token": token,
    }
    refresh = service.text(service.post_json(form), "refresh_token")
    return Login({entry.registry: Credential(USERNAME, refresh)}, now, _expiry(refresh) or now + LIFETIME)


def principal(entry: Acr, environ: Mapping[str, str]) -> Principal:
    """Return who `entry` names. Raises CredentialsUnusable."""
    return _from_file(entry.file) if entry.file else _from_environment(environ)


def _access_token(principal: Principal, now: datetime) -> str:
    """Return what the directory gives the principal (Microsoft identity platform, client credentials flow)."""
    url = f"{principal.authority.rstrip('/')}/{principal.tenant}/oauth2/v2.0/token"
    service = Service("Microsoft's token service", url, (principal.secret,), now)
    form = {
        "grant_type": "client_credentials",
        "client_id": principal.client,
        "client_secret": principal.secret,
        "scope": SCOPE,
    }
    return service.text(service.post_json(form), "access_token")


def _from_file(path: Path) -> Principal:
    """Return what `az ad sp create-for-rbac` prints, with --sdk-auth or without."""
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
    """Return the variables of Azure's SDKs (EnvironmentCredential)."""
    names = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")
    missing = [name for name in names if not environ.get(name)]
    if missing:
        raise CredentialsUnusable(f"{', '.join(missing)} is not set", fix="set it, or name a file")
    tenant, client, secret = (environ[name] for name in names)
    return Principal(
        tenant=tenant, client=client, secret=secret, authority=environ.get("AZURE_AUTHORITY_HOST") or AUTHORITY
    )


def _expiry(token: str) -> datetime | None:
    """Return when a refresh token ends, which it says of itself as JWTs do (RFC 7519, 4.1.4)."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return datetime.fromtimestamp(int(claims["exp"]), UTC)
    except (IndexError, ValueError, KeyError, TypeError, OverflowError):
        return None
