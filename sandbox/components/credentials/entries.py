"""Which accounts pods are to have, as the user said it: the one list by which any account is requested.

It is on this machine. Secrets in the cluster say what was delivered, but anyone who may write Secrets there could write
one that asks for more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from sandbox.config.schema.credentials_schema import Credentials
from sandbox.errors import SandboxError
from sandbox.system import files

Origin = Literal["spec", "command"]

_ADAPTER: TypeAdapter[list[tuple[Origin, Credentials]]] = TypeAdapter(list[tuple[Origin, Credentials]])


@dataclass(frozen=True)
class Entry:
    """An entry, and whether the spec or a command gave it."""

    given: Credentials
    origin: Origin


@dataclass(frozen=True)
class Entries:
    """A file that only the user can read; it names files and registries, and holds no secret."""

    file: Path

    def read(self) -> Mapping[str, Entry]:
        """The entries by the name of their Secret. Raises SandboxError for a file that no command wrote."""
        try:
            found = _ADAPTER.validate_json(self.file.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValidationError) as error:
            raise SandboxError(
                f"the list of registry credentials in {self.file} cannot be read",
                details=str(error),
                fix=f"rm {self.file}, then sandbox up, and sandbox credentials add for what the spec does not list",
                id="credentials-list",
            ) from error
        return {given.secret: Entry(given, origin) for origin, given in found}

    def keep(self, entry: Credentials, origin: Origin) -> None:
        """Have this entry, in place of the one for the same Secret."""
        self._write({**self.read(), entry.secret: Entry(entry, origin)})

    def forget(self, names: Collection[str]) -> None:
        """Have no entry for these Secrets."""
        known = self.read()
        if known.keys() & set(names):
            self._write({name: one for name, one in known.items() if name not in names})

    def _write(self, entries: Mapping[str, Entry]) -> None:
        files.make_private_dir(self.file.parent)
        content = _ADAPTER.dump_json([(one.origin, one.given) for one in entries.values()], indent=2)
        files.write_atomic(self.file, content + b"\n", mode=0o600)
