"""The accounts for pushes and pulls at registries: those of the spec's entries, then those of `docker login`."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from sandbox.components.credentials.registry_accounts import docker_config_file, may_know, mint
from sandbox.components.credentials.registry_login import Login
from sandbox.config.schema.credentials_schema import Credentials, Docker
from sandbox.oci.credential import Credential, Keychain
from sandbox.oci.docker_config import DockerConfig, canonical


def keychain(entries: Sequence[Credentials], environ: Mapping[str, str]) -> Keychain:
    """Return the accounts of a spec's entries. Each cloud service is asked once, and only for its own hosts."""
    return _Chain(tuple(entries), environ, DockerConfig(docker_config_file(environ)))


def shared_keychain(entries: Sequence[Credentials], environ: Mapping[str, str]) -> Keychain:
    """Return the accounts that all pods may pull with, for servers that all use: entries for all namespaces.

    An account of `docker login` alone was given to this machine and not to pods.
    """
    return _Chain(tuple(entry for entry in entries if entry.namespaces == "all"), environ, None)


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
        name = canonical(host)
        for entry in self._entries:
            if may_know(entry, name) and (account := self._ask(entry, name)):
                return account
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
