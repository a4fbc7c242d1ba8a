"""Accounts at other registries in a cluster: kept, copied, attached to service accounts now and later, and renewed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from sandbox.components import node_unit
from sandbox.components.credentials import kept_secret, renewal_daemon
from sandbox.components.credentials.kept_secret import Held, Origin
from sandbox.components.credentials.pull_secrets import PullSecrets
from sandbox.components.credentials.registry_accounts import mint
from sandbox.components.node_unit import NodeUnit
from sandbox.config.schema.credentials_schema import Credentials
from sandbox.names import SYSTEM_NAMESPACE, Names
from sandbox.provider import Nodes
from sandbox.step import State, Status
from sandbox.system import daemon, files

ALL = "*"
LIST = PurePosixPath("/etc/sandbox/credentials.list")

LARGEST_LOG = 1_000_000


def secrets_unit(entries: Iterable[Credentials]) -> NodeUnit:
    """Return the unit for these entries; for each it gets the Secret, its namespaces and two patches (RFC 6902).

    Kubernetes has an account's list of Secrets as one value, which is created or added to.
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
class PodCredentials:
    """The accounts that pods of one sandbox pull with, the unit that brings them to later namespaces, and the renewal.

    Accounts that the spec names are looked up in `environ`. The methods' `wanted` are the entries of the spec; those
    that commands added are in the list on this machine.
    """

    nodes: Nodes
    names: Names
    environ: Mapping[str, str]

    def status(self, wanted: Sequence[Credentials]) -> Status:
        """Check all of it. Raises ClusterError."""
        secrets = PullSecrets.of(self.names)
        held, listed = secrets.held(), secrets.entries.read()
        for name in (*(entry.secret for entry in wanted), *listed):
            if name not in held:  # what there is of others stays, whatever becomes of this one
                return Status(State.DRIFTED if self.names.credentials.exists() else State.ABSENT, name)
        problem = self._outdated(held, wanted) or secrets.pending() or self._idle(secrets, held)
        return Status(State.DRIFTED, problem) if problem else Status(State.READY, _told(held, secrets.ignored()))

    def bring(self, wanted: Sequence[Credentials], say: Callable[[str], None]) -> None:
        """Request what is new, changed or about to expire, remove what the spec no longer lists, and deliver.

        Raises CredentialsUnusable, ClusterError and SandboxError.
        """
        secrets = PullSecrets.of(self.names)
        held, listed, spec = secrets.held(), secrets.entries.read(), {entry.secret: entry for entry in wanted}
        secrets.forget(name for name, one in listed.items() if one.origin == "spec" and name not in spec)
        added = [one.given for name, one in listed.items() if one.origin == "command" and name not in spec]
        now = datetime.now(UTC)
        for entry in (*spec.values(), *added):
            if _change(entry, held.get(entry.secret), now):
                say(entry.secret)
                origin: Origin = "spec" if entry.secret in spec else "command"
                secrets.keep(entry, mint(entry, self.environ, now=now), origin)
        self.deliver()

    def deliver(self) -> None:
        """Copy what is kept to the namespaces it is meant for, now and later, and start its renewal."""
        secrets = PullSecrets.of(self.names)
        unit = self._unit(secrets)
        if secrets.entries.read():
            node_unit.place(self.nodes, secrets.cluster, unit)
        else:
            node_unit.remove(self.nodes, secrets.cluster, unit)
        secrets.spread()
        held = secrets.held()
        if not held:
            self.remove()
            return
        files.make_private_dir(self.names.credentials)
        daemon.end(self._record)
        if _ending(held):
            if self._log.exists() and self._log.stat().st_size > LARGEST_LOG:
                self._log.unlink()
            argv = renewal_daemon.argv(self.names.kubeconfig, secrets.entries.file)
            daemon.start(argv, log_to=self._log, record=self._record)

    def stop(self) -> bool:
        """End the process that renews them; returns whether it ran."""
        return daemon.end(self._record)

    def withdraw(self) -> bool:
        """Take all of them out of the cluster; returns whether there were any and it answers. Raises SandboxError."""
        if not (self.names.credentials.exists() and self.names.kubeconfig.exists()):
            return False
        secrets = PullSecrets.of(self.names)
        if secrets.cluster.trouble():
            return False
        secrets.forget(secrets.entries.read())
        self.deliver()
        return True

    def remove(self) -> bool:
        """Remove the list and the files on this machine; returns whether there were any."""
        folder = self.names.credentials
        if not folder.exists():
            return False
        daemon.end(self._record)
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        return True

    @property
    def _record(self) -> Path:
        return self.names.credentials / "keeper.json"

    @property
    def _log(self) -> Path:
        return self.names.credentials / "keeper.log"

    def _outdated(self, held: Mapping[str, Held], wanted: Sequence[Credentials]) -> str | None:
        now, spec = datetime.now(UTC), {entry.secret: entry for entry in wanted}
        for name, one in held.items():
            if name not in spec and one.origin == "spec":
                return f"{name} is no longer in the spec"
            if change := _change(spec.get(name, one.entry), one, now):
                return change
        return None

    def _idle(self, secrets: PullSecrets, held: Mapping[str, Held]) -> str | None:
        """Return what should run and does not, or None."""
        if not held:
            return None
        if pending := node_unit.problem(self.nodes, secrets.cluster, self._unit(secrets)):
            return pending
        if _ending(held) and daemon.find(self._record) is None:
            return f"no process renews them; the log of the last one is {self._log}"
        return None

    @staticmethod
    def _unit(secrets: PullSecrets) -> NodeUnit:
        return secrets_unit(one.given for one in secrets.entries.read().values())


def _change(entry: Credentials, one: Held | None, now: datetime) -> str | None:
    """Return why an entry's accounts have to be requested again, or None."""
    if one is None or one.entry != entry or one.made_by != kept_secret.digest(entry):
        return f"{entry.secret} is of another entry"
    if one.file != kept_secret.state(entry.file):
        return f"{entry.secret} is from before {entry.file} was changed"
    if one.validity.expires is not None and one.validity.is_due(now):
        ended = "ended" if now >= one.validity.expires else "ends"
        return f"{entry.secret} {ended} at {one.validity.expires:%Y-%m-%d %H:%M} UTC"
    return None


def _ending(held: Mapping[str, Held]) -> bool:
    return any(one.validity.expires is not None for one in held.values())


def _told(held: Mapping[str, Held], ignored: Sequence[str]) -> str:
    """Return what is delivered, and until when without a renewal; and Secrets that only look like ours."""
    words = []
    for name, one in sorted(held.items()):
        until = one.validity.expires
        words.append(f"{name} until {until:%H:%M} UTC" if until else name)
    if ignored:
        words.append(f"ignored: {', '.join(ignored)}, which no command of this user gave")
    return ", ".join(words) or "none"
