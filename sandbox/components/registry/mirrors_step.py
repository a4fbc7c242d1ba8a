"""Mirrors of upstream registries next to the cluster: an image is downloaded once and not at every `up`."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sandbox.components.cluster import company_ca
from sandbox.components.cluster.company_ca import CompanyCa
from sandbox.components.registry import mirror_settings
from sandbox.components.registry.container_step import COMMAND, CONFIG_FILE, DATA
from sandbox.components.registry.mirror_settings import Upstream
from sandbox.engine import Container, ContainerSpec, Engine, Placed, container_host, labelled
from sandbox.names import LABEL, REGISTRY_PORT, Names
from sandbox.oci.credential import Credential, CredentialsUnusable, Keychain
from sandbox.step import State, Status, Work
from sandbox.system import files

MIRROR = "dev.sandbox.mirror"
CRASHED = "main.main()"  # the last line of a Go program that gives up


@dataclass(frozen=True, kw_only=True)
class MirrorsStep:
    """One pull-through cache for each upstream; its data outlives `down` unless it purges.

    A cache answers every pod of the sandbox without an account. It signs in only with one of the accounts `lent`, which
    every pod may pull with anyway; `keychain` has the user's own, and tells why an upstream is asked without one. The
    account is in a file that only the user can read, and in one of the container that only the engine's root can read.
    Each cache trusts the company's CA, as the nodes do.
    """

    engine: Engine
    names: Names
    image: str
    upstreams: tuple[str, ...]
    keychain: Keychain | None
    lent: Keychain | None
    purge: bool
    company: CompanyCa
    name: str = "mirrors"
    requires: tuple[str, ...] = ("images", "network")

    @property
    def is_needed(self) -> bool:
        """Tell whether the spec has mirrors, an earlier one left containers, or the data that it left is to go."""
        return bool(self.upstreams) or self.purge or any(self._containers())

    @property
    def title(self) -> str:
        return f"Mirrors of {', '.join(upstream.name for upstream in self._upstreams) or 'no registry any more'}"

    def check(self) -> Status:
        left = [container.name for container in self._leftovers()]
        if left:
            return Status(State.DRIFTED, f"the spec has no {', '.join(left)}")
        notes = []
        for upstream in self._upstreams:
            container = self.engine.container(self.names.mirror(upstream.name))
            if container is None:
                return Status(State.DRIFTED if any(self._containers()) else State.ABSENT, f"{upstream.name} has none")
            account = self._account(upstream)
            reason = self._drift(upstream, account, container)
            if reason:
                return Status(State.DRIFTED, f"{upstream.name}: {reason}")
            notes.append(f"{upstream.name} {self._note(upstream, account, container)}")
        return Status(State.READY, "; ".join(notes))

    def apply(self, work: Work) -> None:
        for left in self._leftovers():
            settings = self._file(mirror_settings.parse_upstream(left.labels[MIRROR]))
            settings.unlink(missing_ok=True)  # they may have an account
            self.engine.remove_container(left.name)
        for upstream in self._upstreams:
            account = self._account(upstream)
            container = self.engine.container(self.names.mirror(upstream.name))
            if container is None or self._drift(upstream, account, container):
                self._start(upstream, account)

    def stop(self) -> bool:
        running = [container.name for container in self._containers() if container.has_processes]
        for name in running:
            self.engine.stop(name)
        return bool(running)

    def undo(self) -> bool:
        removed = [self.engine.remove_container(container.name) for container in self._containers()]
        if self.purge:
            kept = self.engine.labelled_volumes(MIRROR)
            mine = [name for name, labels in kept.items() if labels.get(LABEL) == self.names.name]
            removed += [labelled.remove_volume(self.engine, name, self.names.home) for name in mine]
            if self.names.mirrors.exists():
                shutil.rmtree(self.names.mirrors)
                removed.append(True)
        return any(removed)

    @property
    def _upstreams(self) -> tuple[Upstream, ...]:
        return tuple(map(mirror_settings.parse_upstream, self.upstreams))

    def _containers(self) -> Iterator[Container]:
        containers = labelled.containers(self.engine, self.names.home, self.names.name)
        return (container for container in containers if MIRROR in container.labels)

    def _leftovers(self) -> list[Container]:
        wanted = {self.names.mirror(upstream.name) for upstream in self._upstreams}
        return [container for container in self._containers() if container.name not in wanted]

    def _account(self, upstream: Upstream) -> Credential | None:
        return self.lent.find(upstream.name) if self.lent else None

    def _drift(self, upstream: Upstream, account: Credential | None, container: Container) -> str | None:
        if not container.running and not self._is_cut_off(container):
            return "stopped"
        if container.image != self.engine.image_id(self.image):
            return "runs another image"
        if container.running and self.names.network not in container.addresses:
            return f"is not on the network {self.names.network}"
        if (files.content(self._certificates(upstream)) or b"") != self.company.pem:
            return "trusts other certificates"
        same = files.content(self._file(upstream)) == self._settings(upstream, account)
        return None if same else "has other settings or another account"

    def _note(self, upstream: Upstream, account: Credential | None, container: Container) -> str:
        if self._is_cut_off(container):
            return "cannot be reached now: nodes ask it themselves"
        if account and not mirror_settings.usable(account):
            return "without the account, which is a token: a cache needs a name and a password"
        if account:
            return f"signed in as {account.username}"
        with contextlib.suppress(CredentialsUnusable):
            if self.keychain and self.keychain.find(upstream.name):
                return "without your account, which `credentials` does not give to pods of all namespaces"
        return "without an account"

    def _is_cut_off(self, container: Container) -> bool:
        """Tell whether it gave up at its start, as it does with an account when the upstream does not answer."""
        return not container.running and CRASHED in self.engine.logs(container.name)

    def _start(self, upstream: Upstream, account: Credential | None) -> None:
        name = self.names.mirror(upstream.name)
        files.make_private_dir(self._folder(upstream))
        # Removed before its settings change, so that an existing container was always started with the present ones.
        labelled.make_room(self.engine, name, self.names.home)
        files.write_atomic(self._file(upstream), self._settings(upstream, account), mode=0o600)
        files.write_atomic(self._certificates(upstream), self.company.pem, mode=0o644)
        self.engine.create_volume(name, {**self.names.labels, MIRROR: upstream.name})
        self.engine.run(
            ContainerSpec(
                name=name,
                image=self.image,
                command=COMMAND,
                labels={**self.names.labels, MIRROR: upstream.name},
                network=self.names.network,
                address=container_host.spare_address(self.engine, self.names.network, container_host.MIRRORS),
                environment={"OTEL_TRACES_EXPORTER": "none"},
                volumes={name: DATA},
                folders=self._placed(upstream),
            )
        )

    def _placed(self, upstream: Upstream) -> Mapping[str, Mapping[str, Placed]]:
        """Return the files for its container, by folder: the engine's machine may not have this machine's folders."""
        folders: dict[str, dict[str, Placed]] = {}
        for file, inner in (
            (self._file(upstream), PurePosixPath(CONFIG_FILE)),
            (self._certificates(upstream), company_ca.PLACE),
        ):
            if content := file.read_bytes():
                folders.setdefault(str(inner.parent), {})[inner.name] = Placed(content, 0o600)
        return folders

    def _settings(self, upstream: Upstream, account: Credential | None) -> bytes:
        return mirror_settings.settings(upstream, account, data=DATA, port=REGISTRY_PORT)

    def _folder(self, upstream: Upstream) -> Path:
        return self.names.mirrors / upstream.name.replace(":", "-")

    def _file(self, upstream: Upstream) -> Path:
        return self._folder(upstream) / "config.yml"

    def _certificates(self, upstream: Upstream) -> Path:
        return self._folder(upstream) / "company.pem"
