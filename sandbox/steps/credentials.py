"""Accounts at other registries as Secrets in the cluster, and the process that renews those which end."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sandbox.cluster.api import Cluster
from sandbox.credentials import keeper, node, secret
from sandbox.credentials.delivery import Delivery
from sandbox.credentials.mint import mint, settled
from sandbox.credentials.secret import Held
from sandbox.errors import SandboxError
from sandbox.host import detached, files
from sandbox.names import Names
from sandbox.providers.provider import Nodes
from sandbox.spec.credentials import Credentials
from sandbox.steps.step import State, Status, Work

LARGEST_LOG = 1_000_000


@dataclass(frozen=True)
class CredentialsStep:
    """What the spec lists and what commands added: kept, copied, named by the service accounts, renewed."""

    nodes: Nodes
    names: Names
    entries: tuple[Credentials, ...]
    name: str = "credentials"
    needs: tuple[str, ...] = ("cluster", "accounts")

    @property
    def title(self) -> str:
        return "Registry credentials"

    def check(self) -> Status:
        delivery = Delivery(Cluster(self.names.kubeconfig))
        held = delivery.held()
        for entry in self._wanted:
            if entry.secret not in held:
                return Status(State.ABSENT, entry.secret)
        now = datetime.now(UTC)
        amiss = next(self._amiss(held, now), None) or delivery.pending() or self._idle(held)
        return Status(State.DRIFTED, amiss) if amiss else Status(State.READY, _told(held))

    def apply(self, work: Work) -> None:
        delivery = Delivery(Cluster(self.names.kubeconfig))
        held, wanted = delivery.held(), {entry.secret: entry for entry in self._wanted}
        delivery.forget(name for name, one in held.items() if one.origin == "spec" and name not in wanted)
        now = datetime.now(UTC)
        for entry in wanted.values():
            if self._change(entry, held.get(entry.secret), now):
                work.say(entry.secret)
                delivery.keep(entry, mint(entry, os.environ, now=now), "spec")
        for one in held.values():
            if one.entry.secret not in wanted and one.origin == "command" and self._change(one.entry, one, now):
                work.say(one.entry.secret)
                delivery.keep(one.entry, mint(one.entry, os.environ, now=now), "command")
        self.deliver()

    def deliver(self) -> None:
        """Bring what is kept to where it is meant for, now and later, and see to its renewal."""
        for path, content in node.node_files().items():
            self.nodes.write_file(self.nodes.control_plane, path, content)
        for verb in (("daemon-reload",), ("enable", node.UNIT), ("restart", node.UNIT)):
            status, output = self.nodes.execute(self.nodes.control_plane, ["systemctl", *verb])
            if status != 0:
                raise SandboxError(f"systemctl {' '.join(verb)} failed on {self.nodes.control_plane}", details=output)
        delivery = Delivery(Cluster(self.names.kubeconfig))
        delivery.spread()
        held = delivery.held()
        if not held:
            self.undo()
            return
        files.make_private_dir(self.names.credentials)
        detached.end(self._record)
        if _ending(held):
            if self._log.exists() and self._log.stat().st_size > LARGEST_LOG:
                self._log.unlink()
            detached.start(keeper.argv(self.names.kubeconfig), log_to=self._log, record=self._record)

    def stop(self) -> bool:
        return detached.end(self._record)

    def undo(self) -> bool:
        folder = self.names.credentials
        if not folder.exists():
            return False
        detached.end(self._record)
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        return True

    @property
    def _wanted(self) -> Iterator[Credentials]:
        return (settled(entry, os.environ) for entry in self.entries)

    @property
    def _record(self) -> Path:
        return self.names.credentials / "keeper.json"

    @property
    def _log(self) -> Path:
        return self.names.credentials / "keeper.log"

    def _amiss(self, held: Mapping[str, Held], now: datetime) -> Iterator[str]:
        wanted = {entry.secret: entry for entry in self._wanted}
        for name, one in held.items():
            if name not in wanted and one.origin == "spec":
                yield f"{name} is no longer in the spec"
            if change := self._change(wanted.get(name, one.entry), one, now):
                yield change

    def _change(self, entry: Credentials, one: Held | None, now: datetime) -> str | None:
        """Why an entry's accounts have to be had anew, or None."""
        if one is None or one.entry != entry:
            return f"{entry.secret} is of another entry"
        if one.file != secret.state(entry.file):
            return f"{entry.secret} is from before {entry.file} was changed"
        if one.validity.expires is not None and one.validity.is_due(now):
            ended = "ended" if now >= one.validity.expires else "ends"
            return f"{entry.secret} {ended} at {one.validity.expires:%Y-%m-%d %H:%M} UTC"
        return None

    def _idle(self, held: Mapping[str, Held]) -> str | None:
        """What does not run that should, or None."""
        for path, content in node.node_files().items():
            if self.nodes.read_file(self.nodes.control_plane, path) != content:
                return f"{path} on {self.nodes.control_plane}"
        if self.nodes.execute(self.nodes.control_plane, ["systemctl", "is-active", node.UNIT])[0] != 0:
            return f"{node.UNIT} does not run on {self.nodes.control_plane}"
        if _ending(held) and detached.find(self._record) is None:
            return f"nothing renews them; the process last said in {self._log}"
        return None


def _ending(held: Mapping[str, Held]) -> bool:
    return any(one.validity.expires is not None for one in held.values())


def _told(held: Mapping[str, Held]) -> str:
    """What is there, and until when without a renewal."""
    words = []
    for name, one in sorted(held.items()):
        until = one.validity.expires
        words.append(f"{name} until {until:%H:%M} UTC" if until else name)
    return ", ".join(words)
