"""Mirrors of upstream registries next to the cluster: an image is downloaded once and not at every `up`."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml

from sandbox.components.cluster import company_ca
from sandbox.components.cluster.company_ca import CompanyCa
from sandbox.components.registry.container_step import COMMAND, CONFIG_FILE, DATA
from sandbox.engine import Container, ContainerSpec, Engine, Placed, container_host, labelled
from sandbox.names import LABEL, REGISTRY_PORT, Names
from sandbox.oci.credential import Credential, Keychain
from sandbox.oci.reference import DOCKER_HUB, DOCKER_HUB_API
from sandbox.step import State, Status, Work
from sandbox.system import files

MIRROR = "dev.sandbox.mirror"
CRASHED = "main.main()"  # the last line of a Go program that gives up


def upstream_urls(upstreams: Iterable[str]) -> dict[str, str]:
    """Return the URL of each upstream's API by its name, for `HOST[:PORT]`, which has https, or a URL of that."""
    urls = {}
    for upstream in upstreams:
        scheme, _, name = upstream.rpartition("://")
        urls[name] = f"https://{DOCKER_HUB_API}" if name == DOCKER_HUB else f"{scheme or 'https'}://{name}"
    return urls


@dataclass(frozen=True, kw_only=True)
class MirrorsStep:
    """One pull-through cache for each upstream; its data outlives `down` unless it purges.

    A cache answers every pod of the sandbox without an account. It signs in only with one of the accounts `lent`, which
    every pod may pull with anyway. The account is in a file that only the user can read, and in one of the container
    that only the engine's root can read.
    Each cache trusts the company's CA, as the nodes do.
    """

    engine: Engine
    names: Names
    image: str
    upstreams: tuple[str, ...]
    lent: Keychain
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
        return f"Mirrors of {', '.join(upstream_urls(self.upstreams)) or 'no registry any more'}"

    def check(self) -> Status:
        left = [container.name for container in self._leftovers()]
        if left:
            return Status(State.DRIFTED, f"the spec has no {', '.join(left)}")
        notes = []
        for upstream in upstream_urls(self.upstreams):
            container = self.engine.container(self.names.mirror(upstream))
            if container is None:
                return Status(State.DRIFTED if any(self._containers()) else State.ABSENT, f"{upstream} has none")
            if reason := self._drift(upstream, container):
                return Status(State.DRIFTED, f"{upstream}: {reason}")
            account = self._account(upstream)
            login = f"signed in as {account.username}" if account else "without an account"
            cut_off = "cannot be reached now: nodes ask it themselves"
            notes.append(f"{upstream} {login if container.running else cut_off}")
        return Status(State.READY, "; ".join(notes))

    def apply(self, work: Work) -> None:
        for left in self._leftovers():
            # Its settings may have an account.
            (self._folder(left.labels[MIRROR]) / "config.yml").unlink(missing_ok=True)
            self.engine.remove_container(left.name)
        for upstream in upstream_urls(self.upstreams):
            container = self.engine.container(self.names.mirror(upstream))
            if container is None or self._drift(upstream, container):
                self._start(upstream)

    def stop(self) -> bool:
        running = [container.name for container in self._containers() if container.has_processes]
        for name in running:
            self.engine.stop(name)
        return bool(running)

    def undo(self) -> bool:
        removed = [self.engine.remove_container(container.name) for container in self._containers()]
        if self.purge:
            volumes = self.engine.labelled_volumes(MIRROR)
            mine = [name for name, labels in volumes.items() if labels.get(LABEL) == self.names.name]
            removed += [labelled.remove_volume(self.engine, name, self.names.home) for name in mine]
            if self.names.mirrors.exists():
                shutil.rmtree(self.names.mirrors)
                removed.append(True)
        return any(removed)

    def _containers(self) -> Iterator[Container]:
        containers = labelled.containers(self.engine, self.names.home, self.names.name)
        return (container for container in containers if MIRROR in container.labels)

    def _leftovers(self) -> list[Container]:
        wanted = set(map(self.names.mirror, upstream_urls(self.upstreams)))
        return [container for container in self._containers() if container.name not in wanted]

    def _drift(self, upstream: str, container: Container) -> str | None:
        # With an account it gives up at its start where the upstream does not answer, and the engine starts it again.
        if not container.running and CRASHED not in self.engine.logs(container.name):
            return "stopped"
        if container.image != self.engine.image_id(self.image):
            return "runs another image"
        if container.running and self.names.network not in container.addresses:
            return f"is not on the network {self.names.network}"
        folder = self._folder(upstream)
        same = all(files.content(folder / path.name) == data for path, data in self._files(upstream).items())
        return None if same else "has other settings, certificates or another account"

    def _account(self, upstream: str) -> Credential | None:
        # Distribution takes a name and a password, and no tokens.
        account = self.lent.find(upstream)
        return account if account and account.username and account.password else None

    def _start(self, upstream: str) -> None:
        name, folder = self.names.mirror(upstream), self._folder(upstream)
        files.make_private_dir(folder)
        # Removed before its settings change, so that an existing container was always started with the present ones.
        labelled.make_room(self.engine, name, self.names.home)
        # Copied, since the engine's machine may not have this machine's folders.
        folders: dict[str, Mapping[str, Placed]] = {}
        for path, data in self._files(upstream).items():
            files.write_atomic(folder / path.name, data, mode=0o600)
            if data:
                folders[str(path.parent)] = {path.name: Placed(data, 0o600)}
        self.engine.create_volume(name, {**self.names.labels, MIRROR: upstream})
        self.engine.run(
            ContainerSpec(
                name=name,
                image=self.image,
                command=COMMAND,
                labels={**self.names.labels, MIRROR: upstream},
                network=self.names.network,
                address=container_host.spare_address(self.engine, self.names.network, container_host.MIRRORS),
                environment={"OTEL_TRACES_EXPORTER": "none"},
                volumes={name: DATA},
                folders=folders,
            )
        )

    def _folder(self, upstream: str) -> Path:
        return self.names.mirrors / upstream.replace(":", "-")

    def _files(self, upstream: str) -> Mapping[PurePosixPath, bytes]:
        settings = mirror_settings(upstream_urls(self.upstreams)[upstream], self._account(upstream))
        return {PurePosixPath(CONFIG_FILE): settings, company_ca.PLACE: self.company.pem}


def mirror_settings(url: str, account: Credential | None) -> bytes:
    """Return the configuration of distribution, with the account's password. Pulled images are kept for a week.

    Without an account it would ask the upstream at its start how to sign in, and not start where that cannot be
    reached; so it gets a helper program for accounts that does not exist, which is run later, if ever.
    """
    if account:
        login: dict[str, object] = {"username": account.username, "password": account.password}
    else:
        login = {"exec": {"command": "anonymous"}}
    content = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": DATA}, "delete": {"enabled": True}},
        "http": {"addr": f":{REGISTRY_PORT}"},
        "proxy": {"remoteurl": url, **login},
    }
    return yaml.safe_dump(content, sort_keys=False).encode()
