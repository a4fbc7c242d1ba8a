"""Accounts at other registries: the early check that they work, their Secrets in the cluster, and who renews them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from sandbox.components import node_unit
from sandbox.components.credentials import kept_secret, renewal_daemon
from sandbox.components.credentials.kept_secret import Held, Origin
from sandbox.components.credentials.pull_secrets import PullSecrets
from sandbox.components.credentials.registry_accounts import mint, resolved
from sandbox.components.node_unit import NodeUnit
from sandbox.config.schema.credentials_schema import Credentials
from sandbox.names import SYSTEM_NAMESPACE, Names
from sandbox.oci.credential import CredentialsUnusable
from sandbox.provider import Nodes
from sandbox.step import State, Status, Work
from sandbox.system import daemon, files

ALL = "*"
LIST = PurePosixPath("/etc/sandbox/credentials.list")

LARGEST_LOG = 1_000_000


def secrets_unit(entries: Iterable[Credentials]) -> NodeUnit:
    """The unit for these entries; its list has for each the Secret, its namespaces and two patches (RFC 6902).

    Kubernetes has an account's list of Secrets as one value, which is begun or added to.
    """
    lines = sorted(map(_line, entries))
    names = sorted(line.split()[0] for line in lines)
    secrets = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": names}
    accounts = {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["list", "watch", "get", "patch"]}
    return NodeUnit(
        name="sandbox-credentials",
        description="Registry credentials in every namespace that may have them",
        script=files.packaged(__package__, "scripts/credentials.sh"),
        data={LIST: "".join(lines).encode()},
        # Creating by a patch is authorized as both.
        anywhere=(accounts, {**secrets, "verbs": ["create", "patch"]}),
        inside=({**secrets, "verbs": ["get"]},),
    )


def _line(entry: Credentials) -> str:
    spaces = ALL if entry.namespaces == "all" else ",".join(one for one in entry.namespaces if one != SYSTEM_NAMESPACE)
    append, begin = (
        json.dumps([{"op": "add", "path": path, "value": value}], separators=(",", ":"))
        for path, value in (
            ("/imagePullSecrets/-", {"name": entry.secret}),
            ("/imagePullSecrets", [{"name": entry.secret}]),
        )
    )
    return f"{entry.secret} {spaces or '-'} {append} {begin}\n"


@dataclass(frozen=True)
class AccountsStep:
    """Reads the files and asks the services; a cluster that has its credentials already is enough."""

    names: Names
    entries: tuple[Credentials, ...]
    environ: Mapping[str, str]
    name: str = "accounts"
    requires: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return "Accounts at other registries"

    def check(self) -> Status:
        if self.names.credentials.exists():
            return Status(State.READY)
        try:
            self._ask()
        except CredentialsUnusable as error:
            return Status(State.ABSENT, error.brief)
        return Status(State.READY)

    def apply(self, work: Work) -> None:
        self._ask()

    def undo(self) -> bool:
        return False

    def _ask(self) -> None:
        for entry in self.entries:
            mint(entry, self.environ, now=datetime.now(UTC))


@dataclass(frozen=True)
class CredentialsStep:
    """What the spec lists and what commands added: kept, copied, named by the service accounts, renewed."""

    nodes: Nodes
    names: Names
    entries: tuple[Credentials, ...]
    environ: Mapping[str, str]
    name: str = "credentials"
    requires: tuple[str, ...] = ("cluster", "accounts")

    @property
    def title(self) -> str:
        return "Registry credentials"

    def check(self) -> Status:
        delivery = PullSecrets.of(self.names)
        held, listed = delivery.held(), delivery.entries.read()
        for name in (*(entry.secret for entry in self._wanted), *listed):
            if name not in held:
                return Status(State.ABSENT, name)
        now = datetime.now(UTC)
        amiss = next(self._amiss(held, now), None) or delivery.pending() or self._idle(delivery, held)
        return Status(State.DRIFTED, amiss) if amiss else Status(State.READY, _told(held, delivery.ignored()))

    def apply(self, work: Work) -> None:
        delivery = PullSecrets.of(self.names)
        held, wanted = delivery.held(), {entry.secret: entry for entry in self._wanted}
        listed = delivery.entries.read()
        delivery.forget(name for name, one in listed.items() if one.origin == "spec" and name not in wanted)
        added = {name: one.given for name, one in listed.items() if one.origin == "command" and name not in wanted}
        now = datetime.now(UTC)
        for entry in (*wanted.values(), *added.values()):
            if self._change(entry, held.get(entry.secret), now):
                work.say(entry.secret)
                origin: Origin = "spec" if entry.secret in wanted else "command"
                delivery.keep(entry, mint(entry, self.environ, now=now), origin)
        self.deliver()

    def deliver(self) -> None:
        """Bring what is kept to where it is meant for, now and later, and see to its renewal."""
        delivery = PullSecrets.of(self.names)
        unit = self._unit(delivery)
        if delivery.entries.read():
            node_unit.place(self.nodes, delivery.cluster, unit)
        else:
            node_unit.remove(self.nodes, delivery.cluster, unit)
        delivery.spread()
        held = delivery.held()
        if not held:
            self.undo()
            return
        files.make_private_dir(self.names.credentials)
        daemon.end(self._record)
        if _ending(held):
            if self._log.exists() and self._log.stat().st_size > LARGEST_LOG:
                self._log.unlink()
            argv = renewal_daemon.argv(self.names.kubeconfig, delivery.entries.file)
            daemon.start(argv, log_to=self._log, record=self._record)

    def stop(self) -> bool:
        return daemon.end(self._record)

    def undo(self) -> bool:
        folder = self.names.credentials
        if not folder.exists():
            return False
        daemon.end(self._record)
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        return True

    @property
    def _wanted(self) -> Iterator[Credentials]:
        return (resolved(entry, self.environ) for entry in self.entries)

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
        if one is None or one.entry != entry or one.made_by != kept_secret.digest(entry):
            return f"{entry.secret} is of another entry"
        if one.file != kept_secret.state(entry.file):
            return f"{entry.secret} is from before {entry.file} was changed"
        if one.validity.expires is not None and one.validity.is_due(now):
            ended = "ended" if now >= one.validity.expires else "ends"
            return f"{entry.secret} {ended} at {one.validity.expires:%Y-%m-%d %H:%M} UTC"
        return None

    def _idle(self, delivery: PullSecrets, held: Mapping[str, Held]) -> str | None:
        """What does not run that should, or None."""
        if not held:
            return None
        if pending := node_unit.problem(self.nodes, delivery.cluster, self._unit(delivery)):
            return pending
        if _ending(held) and daemon.find(self._record) is None:
            return f"nothing renews them; the process last said in {self._log}"
        return None

    @staticmethod
    def _unit(delivery: PullSecrets) -> NodeUnit:
        return secrets_unit(one.given for one in delivery.entries.read().values())


def _ending(held: Mapping[str, Held]) -> bool:
    return any(one.validity.expires is not None for one in held.values())


def _told(held: Mapping[str, Held], ignored: Sequence[str]) -> str:
    """What is there, and until when without a renewal; what looks like it and is not."""
    words = []
    for name, one in sorted(held.items()):
        until = one.validity.expires
        words.append(f"{name} until {until:%H:%M} UTC" if until else name)
    if ignored:
        words.append(f"ignored: {', '.join(ignored)}, which no command of this user gave")
    return ", ".join(words) or "none"
