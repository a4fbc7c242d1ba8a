"""One change to one trust store as a value, so that it can be shown in full before anything is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from sandbox.truststore.trusted_root import Root


class Kind(Enum):
    SYSTEM = "system"
    NSS = "nss"
    JAVA = "java"


@dataclass(frozen=True)
class Command:
    """A program to run, as root if it changes what belongs to the machine."""

    argv: tuple[str, ...]
    as_root: bool = False


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change of the store `kind` at `place`: run `commands` in order."""

    kind: Kind
    place: Path
    adds: bool
    root: Root
    commands: tuple[Command, ...]

    @property
    def title(self) -> str:
        to, verb = ("to", "add") if self.adds else ("from", "remove")
        return f"{verb} {self.root.label} {to} {self.kind.value}: {self.place}"


class Store(Protocol):
    """A file, folder or database whose certificates some programs trust.

    `trusted` are the sandboxes' roots that programs accept from there now; `entries` those that `add` put there,
    trusted or not. `add` and `remove` plan changes and make none; `file` holds the root in PEM.
    """

    @property
    def kind(self) -> Kind: ...

    @property
    def place(self) -> Path: ...

    def trusted(self) -> tuple[Root, ...]: ...

    def entries(self) -> tuple[Root, ...]: ...

    def add(self, root: Root, file: Path) -> Change: ...

    def remove(self, root: Root, file: Path) -> Change: ...


@dataclass(frozen=True)
class Holding:
    store: Store
    trusted: tuple[Root, ...]
    entries: tuple[Root, ...]


def survey(stores: Sequence[Store]) -> tuple[Holding, ...]:
    return tuple(Holding(store, store.trusted(), store.entries()) for store in stores)
