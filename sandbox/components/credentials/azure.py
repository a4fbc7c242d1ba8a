"""An Azure account exchanged for a refresh token of one container registry, valid for three hours."""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.components.credentials import registry_login
from sandbox.components.credentials.registry_login import Login, importing
from sandbox.config import json_text
from sandbox.config.schema.credentials_schema import Acr
from sandbox.oci.credential import Credential, CredentialsUnusable
from sandbox.oci.oci_errors import RegistryError
from sandbox.oci.transport import Transport

USERNAME = "00000000-0000-0000-0000-000000000000"  # says that the password is a refresh token of the registry

AUTHORITY = "https://login.microsoftonline.com"
SCOPE = "https://containerregistry.azure.net/.default"
LIFETIME = timedelta(hours=3)
_MADE_BY = "az ad sp create-for-rbac --role AcrPull --scopes REGISTRY-ID"
_VARIABLES = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE")


def login(entry: Acr, environ: Mapping[str, str], *, now: datetime) -> Login:
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
    except (ValueError, OSError) as error:  # of an authority, a tenant, a token file or the program az
        fix = "correct it in the file or in AZURE_*"
        raise CredentialsUnusable("the Azure account cannot be used", details=str(error), fix=fix) from None
    refresh = _exchange(entry.registry, tenant or str(json_text.claims(token).get("tid", "")), token)
    expires = now + LIFETIME
    with suppress(ValueError, KeyError):
        expires = datetime.fromtimestamp(int(json_text.claims(refresh)["exp"]), UTC)
    return Login({entry.registry: Credential(USERNAME, refresh)}, now, expires)


def _credential(entry: Acr, environ: Mapping[str, str]) -> tuple[Any, str]:
    # Not the library's own chain: it tries all kinds of credentials, which takes many seconds.
    from azure.identity import AzureCliCredential, ClientSecretCredential, WorkloadIdentityCredential

    tenant, client, secret, token_file = (environ.get(name, "") for name in _VARIABLES)
    authority = environ.get("AZURE_AUTHORITY_HOST") or AUTHORITY
    if entry.file:  # the output of `az ad sp create-for-rbac`, with --sdk-auth or without
        content = registry_login.read_key_file(entry.file, made_by=_MADE_BY)
        tenant, client, secret = (
            registry_login.key_text(entry.file, content, *names, made_by=_MADE_BY)
            for names in (("tenant", "tenantId"), ("appId", "clientId"), ("password", "clientSecret"))
        )
        authority = str(content.get("activeDirectoryEndpointUrl") or AUTHORITY)
    elif tenant and client and token_file and not secret:
        workload = WorkloadIdentityCredential(
            tenant_id=tenant, client_id=client, token_file_path=token_file, authority=authority
        )
        return workload, tenant
    elif not (tenant or client or secret) and shutil.which("az"):
        return AzureCliCredential(), ""
    if missing := [name for name, value in zip(_VARIABLES, (tenant, client, secret), strict=False) if not value]:
        raise CredentialsUnusable(f"{', '.join(missing)} is not set", fix="set it, or name a file, or: az login")
    # The authority is the user's own choice, so it need not be a known one.
    options = {"authority": authority, "disable_instance_discovery": True}
    return ClientSecretCredential(tenant, client, secret, **options), tenant


def _exchange(registry: str, tenant: str, token: str) -> str:
    """Return the registry's refresh token (https://github.com/Azure/acr/blob/main/docs/AAD-OAuth.md)."""
    form = {"grant_type": "access_token", "service": registry, "tenant": tenant, "access_token": token}
    try:
        with Transport(registry) as transport:
            response, body = transport.request("POST", f"{transport.address}/oauth2/exchange", data=form)
    except RegistryError as error:
        raise CredentialsUnusable(error.brief, details=error.details, fix=error.fix) from None
    if response.status_code != 200:
        raise CredentialsUnusable(
            f"the registry {registry} refuses these credentials",
            details=f"HTTP status {response.status_code}",
            fix="give the account the right to pull from this registry (AcrPull)",
        )
    return str(json_text.document(body)["refresh_token"])
