"""From an entry of the spec to accounts, whichever service or helper has to be asked, and the keychains for pulls."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import assert_never

from sandbox.components.credentials import aws, azure, gcp, registry_login
from sandbox.components.credentials.registry_login import Login, matches
from sandbox.config.schema.credentials_schema import Acr, Credentials, Docker, Ecr, Gcr
from sandbox.oci.credential import Credential, CredentialsUnusable, Keychain
from sandbox.oci.docker_config import DockerConfig, canonical

_MADE_BY = "docker login"


def docker_config_file(environ: Mapping[str, str]) -> Path:
    """Return where Docker keeps them."""
    folder = environ.get("DOCKER_CONFIG")
    return (Path(folder) if folder else Path.home() / ".docker") / "config.json"


def docker_login(entry: Docker, environ: Mapping[str, str], *, now: datetime) -> Login:
    """Return the accounts that `entry` names, which do not end. Raises CredentialsUnusable."""
    path = entry.file or docker_config_file(environ)
    hosts = tuple(dict.fromkeys(map(canonical, entry.registries))) or _listed(path)
    config = DockerConfig(path)
    accounts = {host: _usable(host, config.find(host), path) for host in hosts}
    return Login(accounts, now)


def _listed(path: Path) -> tuple[str, ...]:
    """Return the registries that the file speaks of; with `credsStore` it keeps an empty entry for each."""
    content = registry_login.read_key_file(path, made_by=_MADE_BY)
    parts = [part for part in (content.get("auths"), content.get("credHelpers")) if isinstance(part, dict)]
    hosts = tuple(dict.fromkeys(canonical(key) for part in parts for key in part))
    if not hosts:
        raise registry_login.unusable_file(path, "it names no registry", made_by=_MADE_BY)
    return hosts


def _usable(host: str, account: Credential | None, path: Path) -> Credential:
    """Return the account as a name with a password, which is all that pods can pull with."""
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


def mint(entry: Credentials, environ: Mapping[str, str], *, now: datetime) -> Login:
    """Return the accounts that `entry` names. Raises CredentialsUnusable."""
    match entry:
        case Docker():
            return docker_login(entry, environ, now=now)
        case Gcr():
            return gcp.login(entry, environ, now=now)
        case Ecr():
            return aws.login(entry, environ, now=now)
        case Acr():
            return azure.login(entry, environ, now=now)
        case _:
            assert_never(entry)


def resolved(entry: Credentials, environ: Mapping[str, str]) -> Credentials:
    """`entry` with what the environment decides written down, so that a renewal elsewhere means the same.

    Keys in the environment are left there.
    """
    match entry:
        case Docker(file=None):
            return entry.model_copy(update={"file": docker_config_file(environ).absolute()})
        case Gcr(file=None):
            return entry.model_copy(update={"file": gcp.default_file(environ).absolute()})
        case Ecr():
            return entry.model_copy(update=aws.decided(entry, environ))
        case _:
            return entry


def may_know(entry: Credentials, host: str) -> bool:
    """Tell whether `entry` may have an account at `host[:port]`; tells without asking any service."""
    match entry:
        case Docker():
            return not entry.registries or host in entry.registries
        case Gcr():
            return any(matches(pattern, host) for pattern in entry.registries or gcp.REGISTRIES)
        case Ecr():
            account, _, rest = host.partition(".")
            return rest.startswith(("dkr.ecr.", "dkr-ecr.")) and (not entry.accounts or account in entry.accounts)
        case Acr():
            return host == entry.registry
        case _:
            assert_never(entry)


def keychain(entries: Sequence[Credentials], environ: Mapping[str, str]) -> Keychain:
    """Return the Keychain of a spec's entries; a service is asked only for a host of its own, and once."""
    return _Chain(tuple(entries), environ, DockerConfig(docker_config_file(environ)))


def shared_keychain(entries: Sequence[Credentials], environ: Mapping[str, str]) -> Keychain:
    """Return the accounts that every pod may pull with anyway, for what serves all pods: entries for all namespaces.

    An account of `docker login` alone was given to this machine and not to pods.
    """
    return _Chain(tuple(one for one in entries if one.namespaces == "all"), environ, None)


class _Chain:
    def __init__(
        self, entries: tuple[Credentials, ...], environ: Mapping[str, str], login: DockerConfig | None
    ) -> None:
        self._entries = entries
        self._environ = environ
        self._login = login
        self._lock = threading.Lock()
        self._minted: dict[Credentials, Login] = {}
        self._files: dict[Docker, DockerConfig] = {}

    def find(self, host: str) -> Credential | None:
        """Return the account at `host[:port]`, None when there is none. Raises CredentialsUnusable."""
        name = canonical(host)
        if not self._entries:
            return self._login.find(host) if self._login else None

        for entry in self._entries:
            if may_know(entry, name) and (found := self._ask(entry, name)):
                return found
        return self._login.find(host) if self._login else None

    def _ask(self, entry: Credentials, name: str) -> Credential | None:
        with self._lock:
            if isinstance(entry, Docker):
                file = entry.file or docker_config_file(self._environ)
                return self._files.setdefault(entry, DockerConfig(file)).find(name)

            now = datetime.now(UTC)
            login = self._minted.get(entry)
            if login is None or (login.expires is not None and login.expires <= now):
                login = self._minted[entry] = mint(entry, self._environ, now=now)
            return login.find(name)
