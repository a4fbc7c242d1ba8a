"""Turns entries of the spec into accounts, whichever service or helper has to be asked."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sandbox.components.credentials import aws, azure, gcp, registry_login
from sandbox.components.credentials.registry_login import Login, matches
from sandbox.config.schema.credentials_schema import Acr, Credentials, Docker, Ecr, Gcr
from sandbox.oci.credential import Credential, CredentialsUnusable, Keychain
from sandbox.oci.docker_config import DockerConfig, canonical


def docker_config_file(environ: Mapping[str, str]) -> Path:
    folder = environ.get("DOCKER_CONFIG")
    return (Path(folder) if folder else Path.home() / ".docker") / "config.json"


def _docker_login(entry: Docker, environ: Mapping[str, str], *, now: datetime) -> Login:
    path = entry.file or docker_config_file(environ)
    hosts = list(map(canonical, entry.registries))
    if not hosts:  # all of the file; with `credsStore` it keeps an empty entry for each
        content = registry_login.read_key_file(path, made_by="docker login")
        parts = [part for part in (content.get("auths"), content.get("credHelpers")) if isinstance(part, dict)]
        hosts = [canonical(key) for part in parts for key in part]
    if not hosts:
        raise registry_login.unusable_file(path, "it names no registry", made_by="docker login")
    config = DockerConfig(path)
    return Login({host: _usable(host, config.find(host), path) for host in hosts}, now)


def _usable(host: str, account: Credential | None, path: Path) -> Credential:
    if account is None:
        details = "" if path.exists() else "there is no such file"
        raise CredentialsUnusable(f"{path} has no account at {host}", details=details, fix=f"docker login {host}")
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
    match entry:
        case Docker():
            return _docker_login(entry, environ, now=now)
        case Gcr():
            return gcp.login(entry, environ, now=now)
        case Ecr():
            return aws.login(entry, environ, now=now)
        case Acr():
            return azure.login(entry, environ, now=now)


def resolved(entry: Credentials, environ: Mapping[str, str]) -> Credentials:
    """Return `entry` with the file that the environment names, so that a change of the file is noticed."""
    match entry:
        case Docker(file=None):
            return entry.model_copy(update={"file": docker_config_file(environ).absolute()})
        case Gcr(file=None):
            return entry.model_copy(update={"file": gcp.default_file(environ).absolute()})
        case _:
            return entry


def may_know(entry: Credentials, host: str) -> bool:
    """Return whether `entry` may have an account at `host[:port]`, without asking a service."""
    match entry:
        case Docker():
            return not entry.registries or host in map(canonical, entry.registries)
        case Gcr():
            return any(matches(pattern, host) for pattern in entry.registries or gcp.REGISTRIES)
        case Ecr():
            account, _, rest = host.partition(".")
            return rest.startswith(("dkr.ecr.", "dkr-ecr.")) and (not entry.accounts or account in entry.accounts)
        case Acr():
            return host == entry.registry


def keychain(entries: Sequence[Credentials], environ: Mapping[str, str]) -> Keychain:
    """Return the accounts of a spec's entries. Each cloud service is asked once, and only for its own hosts."""
    return _Accounts(tuple(entries), environ, DockerConfig(docker_config_file(environ)))


def shared_keychain(entries: Sequence[Credentials], environ: Mapping[str, str]) -> Keychain:
    """Return the accounts that all pods may pull with; those of `docker login` were not given to pods."""
    return _Accounts(tuple(entry for entry in entries if entry.namespaces == "all"), environ, None)


@dataclass
class _Accounts:
    entries: tuple[Credentials, ...]
    environ: Mapping[str, str]
    login: DockerConfig | None
    lock: threading.Lock = field(default_factory=threading.Lock)
    minted: dict[Credentials, Login] = field(default_factory=dict)

    def find(self, host: str) -> Credential | None:
        name = canonical(host)
        for entry in self.entries:
            if may_know(entry, name) and (account := self._ask(entry, name)):
                return account
        return self.login.find(host) if self.login else None

    def _ask(self, entry: Credentials, name: str) -> Credential | None:
        with self.lock:
            if isinstance(entry, Docker):
                return DockerConfig(entry.file or docker_config_file(self.environ)).find(name)
            now = datetime.now(UTC)
            login = self.minted.get(entry)
            if login is None or (login.expires is not None and login.expires <= now):
                login = self.minted[entry] = mint(entry, self.environ, now=now)
            return login.find(name)
