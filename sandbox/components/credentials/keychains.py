"""The accounts for pushes and pulls at registries: those of the spec's entries, then those of `docker login`."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sandbox.components.credentials.registry_accounts import docker_config_file, may_know, mint
from sandbox.components.credentials.registry_login import Login
from sandbox.config.schema.credentials_schema import Credentials, Docker
from sandbox.oci.credential import Credential, Keychain
from sandbox.oci.docker_config import DockerConfig, canonical


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
    files: dict[Docker, DockerConfig] = field(default_factory=dict)

    def find(self, host: str) -> Credential | None:
        name = canonical(host)
        for entry in self.entries:
            if may_know(entry, name) and (account := self._ask(entry, name)):
                return account
        return self.login.find(host) if self.login else None

    def _ask(self, entry: Credentials, name: str) -> Credential | None:
        with self.lock:
            if isinstance(entry, Docker):
                file = entry.file or docker_config_file(self.environ)
                return self.files.setdefault(entry, DockerConfig(file)).find(name)
            now = datetime.now(UTC)
            login = self.minted.get(entry)
            if login is None or (login.expires is not None and login.expires <= now):
                login = self.minted[entry] = mint(entry, self.environ, now=now)
            return login.find(name)
