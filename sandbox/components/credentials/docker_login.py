"""The accounts of `docker login`, asked of their helpers here, since no helper runs in the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from sandbox.components.credentials import azure, keyfile
from sandbox.components.credentials.registry_login import Login
from sandbox.config.schema.credentials_schema import Docker
from sandbox.oci.credential import Credential, CredentialsUnusable
from sandbox.oci.docker_config import DockerConfig, canonical

_MADE_BY = "docker login"


def default_file(environ: Mapping[str, str]) -> Path:
    """Where Docker keeps them."""
    folder = environ.get("DOCKER_CONFIG")
    return (Path(folder) if folder else Path.home() / ".docker") / "config.json"


def login(entry: Docker, environ: Mapping[str, str], *, now: datetime) -> Login:
    """The accounts that `entry` names, which do not end. Raises CredentialsUnusable."""
    path = entry.file or default_file(environ)
    hosts = tuple(dict.fromkeys(map(canonical, entry.registries))) or _listed(path)
    config = DockerConfig(path)
    accounts = {host: _usable(host, config.find(host), path) for host in hosts}
    return Login(accounts, now)


def _listed(path: Path) -> tuple[str, ...]:
    """The registries that the file speaks of; with `credsStore` it keeps an empty entry for each."""
    content = keyfile.read(path, made_by=_MADE_BY)
    parts = [part for part in (content.get("auths"), content.get("credHelpers")) if isinstance(part, dict)]
    hosts = tuple(dict.fromkeys(canonical(key) for part in parts for key in part))
    if not hosts:
        raise keyfile.unusable(path, "it names no registry", made_by=_MADE_BY)
    return hosts


def _usable(host: str, account: Credential | None, path: Path) -> Credential:
    """The account as a name with a password, which is all that pods can pull with."""
    if account is None:
        raise CredentialsUnusable(f"{path} has no account at {host}", fix=f"docker login {host}")
    if account.username and account.password:
        return Credential(account.username, account.password)
    if account.identity and (account.username == azure.USERNAME or host.endswith(".azurecr.io")):
        return Credential(azure.USERNAME, account.identity)
    raise CredentialsUnusable(
        f"the account at {host} is a token that pods cannot pull with",
        details=f"{path} gives no name with a password",
        fix=f"sign in with a name and a password or an access token: docker login {host}",
    )
