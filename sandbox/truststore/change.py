"""One change to one trust store as a value, so that it can be shown in full before anything is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from sandbox.truststore.trusted_root import Root


class Kind(Enum):
    """The kinds of stores, as the command line names them."""

    SYSTEM = "system"
    NSS = "nss"
    JAVA = "java"
    PYTHON = "python"


@dataclass(frozen=True)
class Command:
    """A program to run, with the rights of root if it changes what belongs to the machine."""

    argv: tuple[str, ...]
    as_root: bool = False


class OwnFile(Protocol):
    """A file that no other program writes."""

    def rewrite(self, root: Root, *, adds: bool) -> None:
        """Write it with `root` or without, beside what it holds at that time. Raises SandboxError."""


@dataclass(frozen=True)
class Change:
    """What is done to the store `kind` at `place`: `commands` in their order, then `file` is written."""

    kind: Kind
    place: Path
    adds: bool
    root: Root
    commands: tuple[Command, ...] = ()
    file: OwnFile | None = None

    @property
    def title(self) -> str:
        """The change in a few words."""
        to, verb = ("to", "add") if self.adds else ("from", "remove")
        return f"{verb} {self.root.label} {to} {self.kind.value}: {self.place}"


class Store(Protocol):
    """A place whose certificates some programs trust. Its methods look and never touch."""

    @property
    def kind(self) -> Kind:
        """What kind of store it is."""

    @property
    def place(self) -> Path:
        """Its file, folder or database."""

    def trusted(self) -> tuple[Root, ...]:
        """The sandboxes' roots that programs accept from here now."""

    def entries(self) -> tuple[Root, ...]:
        """The sandboxes' roots that `add` put here, working or not: what `remove` can take away."""

    def add(self, root: Root, file: Path) -> Change:
        """How `root` gets in; `file` holds it in PEM."""

    def remove(self, root: Root, file: Path) -> Change:
        """How `root` gets out; `file` holds it in PEM."""


@dataclass(frozen=True)
class Holding:
    """A store with what was found in it."""

    store: Store
    trusted: tuple[Root, ...]
    entries: tuple[Root, ...]


def survey(stores: Sequence[Store]) -> tuple[Holding, ...]:
    """What every store holds now."""
    return tuple(Holding(store, store.trusted(), store.entries()) for store in stores)
