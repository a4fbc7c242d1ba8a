"""Trust a root or stop trusting it: decide all changes from what the stores hold, then carry them out as shown."""

import shlex
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import MissingTool, SandboxError, UsageError
from sandbox.system import process
from sandbox.truststore.java import Cacerts
from sandbox.truststore.stores import Holding, Machine
from sandbox.truststore.trusted_root import Change, Kind, Record, Root

# What to do where the machine has no store of a kind.
_MISSING = {
    Kind.SYSTEM: "sandbox certs export --format bundle makes a file for programs that read SSL_CERT_FILE",
    Kind.NSS: "start Chrome or Firefox once, which then makes its database, and run this again",
    Kind.JAVA: "set JAVA_HOME to the JDK that your programs use",
}
TIMEOUT = 180.0  # seconds for one command where no user can be asked
_NSS_TOOLS = "install certutil, of the package libnss3-tools (Debian), nss-tools (Fedora, Alpine) or nss (Arch)"
_ADMIN_FOLDERS = (Path("/usr/sbin"), Path("/sbin"))  # on the PATH of sudo, not always on the user's


@dataclass(frozen=True)
class Plan:
    """The changes in order, the stores that need none, and notes for the user."""

    changes: tuple[Change, ...]
    unchanged: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def trust(
    root: Root, replaced: Collection[Root], holdings: Sequence[Holding], machine: Machine, kinds: Collection[Kind]
) -> Plan:
    """Plan to add `root` to the stores of `kinds`, by default all, and to remove `replaced` from all.

    Raises UsageError for a store that does not exist or cannot be changed.
    """
    chosen_kinds = kinds or tuple(Kind)
    file = Record(machine.folder).certificate(root)
    chosen = [holding for holding in holdings if holding.store.kind in chosen_kinds]
    following = [holding for holding in chosen if _follows(holding)]
    chosen = [holding for holding in chosen if not _follows(holding)]
    _require_found(kinds, chosen, following, machine)
    changes = list(untrust(replaced, holdings).changes)
    unchanged = []
    for holding in chosen:
        if root in holding.trusted:
            unchanged.append(f"{holding.store.kind.value}: {holding.store.place}")
        else:
            changes.append(holding.store.add(root, file))
    notes = list(_notes(chosen_kinds, holdings, machine))
    if any(holding.store.kind is Kind.SYSTEM for holding in chosen):
        followers = (f"Java reads {holding.store.place}, which follows the system's store" for holding in following)
        notes = [*followers, *notes]
    return Plan(tuple(changes), tuple(unchanged), tuple(notes))


def untrust(meant: Collection[Root], holdings: Sequence[Holding]) -> Plan:
    """Plan to remove the roots `meant` from every store that `sandbox certs trust` added them to."""
    changes, notes = list[Change](), list[str]()
    for holding in holdings:
        store = holding.store
        changes += [store.remove(root) for root in holding.entries if root in meant]
        for root in holding.trusted:
            if root in meant and root not in holding.entries and not _follows(holding):
                reason = "sandbox did not add it and does not remove it"
                notes.append(f"{store.place} holds {root.common_name} under another name; {reason}")
    return Plan(tuple(changes), notes=tuple(notes))


def _follows(holding: Holding) -> bool:
    return isinstance(holding.store, Cacerts) and holding.store.follows_system


def _require_found(
    kinds: Collection[Kind], chosen: Sequence[Holding], following: Sequence[Holding], machine: Machine
) -> None:
    for kind in kinds:
        if any(holding.store.kind is kind for holding in chosen):
            continue
        if kind is Kind.NSS and machine.sudo_user:
            brief = f"--store nss belongs to {machine.sudo_user} and is not changed under sudo"
            fix = f"run it without sudo, as {machine.sudo_user}; it asks for a password where it needs one"
            raise UsageError(brief, details="files in it would belong to root", fix=fix, id="trust")
        if kind is not Kind.JAVA or not following:
            raise UsageError(f"there is no {kind.value} store here", fix=_MISSING[kind], id="trust")
        if Kind.SYSTEM not in kinds:
            raise UsageError(
                f"Java's store {following[0].store.place} follows the system's",
                fix="use --store system, which adds the root there too",
                id="trust",
            )


def _notes(kinds: Collection[Kind], holdings: Sequence[Holding], machine: Machine) -> Iterator[str]:
    if Kind.NSS in kinds and machine.sudo_user:
        yield f"sudo does not change the browsers of {machine.sudo_user}: run this without sudo too"
    elif Kind.NSS in kinds and machine.browsers:
        # Chromium's database is in a folder of that name, Firefox's in a profile.
        places = [holding.store.place for holding in holdings if holding.store.kind is Kind.NSS]
        if not any(place.name == "nssdb" for place in places):
            yield f"{machine.browsers[0]} has no certificate database yet: start it once, then run this again"


@dataclass(frozen=True)
class Performer:
    """Runs the commands of changes on `machine`; at a terminal sudo may ask for a password, elsewhere it fails."""

    machine: Machine
    at_terminal: bool

    def shown(self, change: Change) -> tuple[str, ...]:
        return tuple(shlex.join((*self._sudo(change), *argv)) for argv in change.commands)

    def require_tools(self, changes: Sequence[Change]) -> None:
        """Raise MissingTool if a program is not installed; call it before the first change."""
        for change in changes:
            for argv in change.commands:
                for program in (*self._sudo(change)[:1], argv[0]):
                    if not process.which(program, extra=_ADMIN_FOLDERS):
                        fix = self._fix(program, adds=change.adds)
                        raise MissingTool(f"{program} is not installed", details=shlex.join(argv), fix=fix)

    def perform(self, changes: Sequence[Change], done: Callable[[Change], None]) -> None:
        for change in changes:
            try:
                for argv in change.commands:
                    command = (*self._sudo(change), *argv)
                    if self.at_terminal:
                        process.run_at_terminal(command)
                    else:
                        process.run(command, timeout=TIMEOUT)
            except process.ToolFailed as error:
                fix = "repair that, then run this again; it continues where it stopped"
                if change.as_root and not (self.machine.is_root or self.at_terminal):
                    fix = "run this at a terminal, where sudo can ask for a password, or as root"
                raise SandboxError(f"could not {change.title}", details=str(error), fix=fix, id="trust") from error
            done(change)

    def _sudo(self, change: Change) -> tuple[str, ...]:
        if not change.as_root or self.machine.is_root:
            return ()
        return ("sudo",) if self.at_terminal else ("sudo", "-n")

    def _fix(self, program: str, *, adds: bool) -> str:
        # Roots are removed from all stores, whatever was chosen.
        if program == "sudo":
            return "run the commands that --dry-run shows as root"
        if program != "certutil":
            return f"install {program}" + (", or leave that store out with --store" if adds else "")
        return _NSS_TOOLS + ("\nor leave browsers out: --store system" if adds else "")
