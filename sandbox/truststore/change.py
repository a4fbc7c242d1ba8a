"""One change to one trust store as a value, so that it can be shown in full before anything is done."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

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
