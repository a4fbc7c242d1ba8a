"""What has to be done to trust or to forget roots, decided from what the stores hold before anything is touched."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from sandbox.errors import UsageError
from sandbox.truststore.change import Change, Holding, Kind
from sandbox.truststore.java import Cacerts
from sandbox.truststore.trust_machine import Machine, missing_browsers
from sandbox.truststore.trust_record import Record
from sandbox.truststore.trusted_root import Root

DEFAULT_KINDS = (Kind.SYSTEM, Kind.NSS, Kind.JAVA)


@dataclass(frozen=True)
class Plan:
    """The changes in their order, the stores that need none, and what the user should know."""

    changes: tuple[Change, ...]
    unchanged: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def trust(
    root: Root, replaced: Collection[Root], holdings: Sequence[Holding], machine: Machine, kinds: Collection[Kind]
) -> Plan:
    """The plan that brings `root` into the stores of `kinds` (by default all but Python's) and `replaced` out of all.

    Raises UsageError for a kind that was asked for and that is not here or is refused.
    """
    wanted = kinds or DEFAULT_KINDS
    file = Record(machine.folder).certificate(root)
    chosen = [one for one in holdings if one.store.kind in wanted]
    system = any(one.store.kind is Kind.SYSTEM for one in chosen)
    following = [one for one in chosen if _follows(one)]
    chosen = [one for one in chosen if not _follows(one)]
    _require_found(kinds, chosen, following, machine)
    additions = tuple(one.store.add(root, file) for one in chosen if root not in one.trusted)
    unchanged = tuple(f"{one.store.kind.value}: {one.store.place}" for one in chosen if root in one.trusted)
    followers = tuple(f"Java reads {one.store.place}, which follows the system's store" for one in following if system)
    outdated = untrust(lambda one: one in replaced, holdings, machine).changes
    return Plan((*outdated, *additions), unchanged, (*followers, *_notes(root, wanted, holdings, machine)))


def untrust(is_meant: Callable[[Root], bool], holdings: Sequence[Holding], machine: Machine) -> Plan:
    """The plan that takes every root that is meant out of every store that this tool put it into."""
    record = Record(machine.folder)
    changes = tuple(
        one.store.remove(root, record.certificate(root)) for one in holdings for root in one.entries if is_meant(root)
    )
    strangers = tuple(
        f"{one.store.place} holds {root.common_name} by another name than ours, so it was put there by other means"
        for one in holdings
        for root in one.trusted
        if is_meant(root) and root not in one.entries and not _follows(one)
    )
    windows = tuple(
        f"if you trusted it on Windows: certutil.exe -user -delstore Root {root.sha1}"
        for root in dict.fromkeys(change.root for change in changes)
        if machine.wsl
    )
    return Plan(changes, notes=(*strangers, *windows))


def _follows(one: Holding) -> bool:
    return isinstance(one.store, Cacerts) and one.store.follows_system


def _require_found(
    kinds: Collection[Kind], chosen: Sequence[Holding], following: Sequence[Holding], machine: Machine
) -> None:
    for kind in kinds:
        if any(one.store.kind is kind for one in chosen):
            continue
        if (kind is Kind.JAVA and following and Kind.SYSTEM in kinds) or (
            kind is Kind.SYSTEM and "nixos" in machine.kin
        ):
            continue
        if machine.sudo_user and kind in (Kind.NSS, Kind.PYTHON):
            raise UsageError(
                f"--store {kind.value} is {machine.sudo_user}'s own and is not changed under sudo",
                details="files would be left there that belong to root",
                fix=f"run it without sudo, as {machine.sudo_user}; it asks for a password where one is needed",
                id="trust",
            )
        if kind is Kind.JAVA and following:
            brief = f"Java's store {following[0].store.place} follows the system's"
            raise UsageError(brief, fix="use --store system, which brings the root there too", id="trust")
        raise UsageError(
            f"there is no {kind.value} store here", details=_looked(kind, machine), fix=_fix(kind), id="trust"
        )


def _notes(root: Root, wanted: Collection[Kind], holdings: Sequence[Holding], machine: Machine) -> tuple[str, ...]:
    file = Record(machine.folder).certificate(root)
    notes = []
    if Kind.NSS in wanted:
        places = [one.store.place for one in holdings if one.store.kind is Kind.NSS]
        if machine.sudo_user:
            notes.append(f"the browsers of {machine.sudo_user} are not touched under sudo: run this without sudo too")
        elif not machine.is_macos:
            notes += [
                f"{name} has no certificate database yet: start it once, then run this again"
                for name in missing_browsers(machine, places)
            ]
    if Kind.SYSTEM in wanted and "nixos" in machine.kin:
        notes.append(f"NixOS: add to configuration.nix: security.pki.certificateFiles = [ {file} ];")
    if machine.wsl:
        notes.append(f'for browsers on Windows: certutil.exe -user -addstore Root "$(wslpath -w {file})"')
    return tuple(notes)


def _looked(kind: Kind, machine: Machine) -> str:
    if kind is Kind.NSS:
        return f"no cert9.db where Chrome and Firefox keep it in {machine.home}; each makes its own when first started"
    if kind is Kind.JAVA:
        return (
            f"no cacerts in {machine.java_home}" if machine.java_home else "neither JAVA_HOME nor `java` leads to one"
        )
    return "none of the folders that Debian, Alpine, Fedora, Arch and SUSE have"


def _fix(kind: Kind) -> str:
    match kind:
        case Kind.NSS:
            return "start the browser once, then run this again"
        case Kind.JAVA:
            return "set JAVA_HOME to the JDK that is meant"
        case _:
            return "sandbox certs trust --store python makes a file for programs that read SSL_CERT_FILE"
