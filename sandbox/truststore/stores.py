"""The trust stores of this machine: found where systems, browsers and JDKs keep them, and by the record of changes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.system import files, process
from sandbox.truststore import java, nss
from sandbox.truststore.java import Cacerts
from sandbox.truststore.nss import Database
from sandbox.truststore.system_stores import Anchors, find_anchors
from sandbox.truststore.trusted_root import Kind, Record, Root, parse

# Each tells the sandboxes' roots that programs accept from it (`trusted`) and those that `add` put there (`entries`);
# `add` and `remove` plan changes and make none.
Store = Anchors | Database | Cacerts
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass(frozen=True)
class Holding:
    store: Store
    trusted: tuple[Root, ...]
    entries: tuple[Root, ...]


def survey(stores: Sequence[Store]) -> tuple[Holding, ...]:
    return tuple(Holding(store, store.trusted(), store.entries()) for store in stores)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The facts that decide which stores there are and how they are changed.

    `folder` holds the record of trusted roots. `sudo_user` is the user who ran `sudo sandbox`.
    """

    home: Path
    folder: Path
    is_root: bool = False
    sudo_user: str = ""
    java_home: Path | None = None
    browsers: tuple[str, ...] = ()
    slash: Path = Path("/")


def this_machine(folder: Path) -> Machine:
    is_root, home = os.geteuid() == 0, os.environ.get("JAVA_HOME")
    sudo_user = os.environ.get("SUDO_USER", "") if is_root else ""
    program = process.which("java")
    java_home = Path(home) if home else program.resolve().parent.parent if program else None
    return Machine(
        home=Path.home(),
        folder=folder,
        is_root=is_root,
        sudo_user="" if sudo_user == "root" else sudo_user,
        java_home=java_home,
        browsers=tuple(name for name in _BROWSERS if process.which(name)),
    )


def find(at: Machine) -> tuple[Store, ...]:
    """Return every store on the machine in the order of changes: the one that asks for a password comes last."""
    available: list[Store] = [] if at.sudo_user else [*nss.databases(at.home)]
    if cacerts := at.java_home and java.find(at.java_home):
        available.append(cacerts)
    if system := find_anchors(at.slash):
        available.append(system)
    return tuple(available)


def recorded(record: Record, present: Sequence[Store]) -> tuple[Store, ...]:
    """Return the stores that were changed before and that `find` does not find now, such as a second JDK's."""
    present_places = {store.place for store in present}
    others = dict[Path, Store]()
    for kind, place in (each for entry in record.entries() for each in entry.places):
        if place in present_places:
            continue
        if kind == Kind.NSS.value and files.is_dir(place):
            others[place] = nss.Database(place)
        elif kind == Kind.JAVA.value and files.is_file(place):
            others[place] = java.recorded(place)
    return tuple(others.values())


def installed(root_pem: bytes, folder: Path) -> tuple[str, ...]:
    """Return the stores that hold the root, as `KIND PLACE`. Raises SandboxError for what is no certificate."""
    root = parse(root_pem)
    stores = find(this_machine(folder))
    return tuple(f"{store.kind.value} {store.place}" for store in stores if root in store.trusted())
