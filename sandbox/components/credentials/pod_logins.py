"""The list of logins that pods have, a file on this machine that contains no secret.

It alone decides which accounts are requested: nothing in the cluster can ask for more.
"""

import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from sandbox.config.schema.credentials_schema import Credentials
from sandbox.errors import SandboxError
from sandbox.system import files

Origin = Literal["spec", "command"]


@dataclass(frozen=True, kw_only=True)
class PodLogin:
    """An entry, the time and hosts of the login that pods got for it, and the state of the entry's file then."""

    entry: Credentials
    origin: Origin
    issued: datetime
    expires: datetime | None
    registries: tuple[str, ...]
    file: str

    @property
    def secret(self) -> str:
        return self.entry.secret

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Return the only namespaces that have it; empty for a login of all pods."""
        return () if self.entry.namespaces == "all" else self.entry.namespaces

    def is_due(self, now: datetime) -> bool:
        """Compare with two thirds of the login's life: a third is left to solve problems."""
        return self.expires is not None and now >= self.issued + (self.expires - self.issued) * 2 / 3


@dataclass(frozen=True)
class PodLogins:
    """The list, which only the user can read."""

    file: Path

    def read(self) -> dict[str, PodLogin]:
        """Return the logins by name. Raises SandboxError for a file that no command wrote."""
        try:
            logins = TypeAdapter(list[PodLogin]).validate_json(files.read_regular(self.file))
        except FileNotFoundError:
            return {}
        except (OSError, files.NotAFile, ValueError) as error:  # pydantic's errors are ValueErrors
            raise SandboxError(
                f"the list of registry credentials in {self.file} cannot be read",
                details=str(error),
                fix=f"rm {shlex.quote(str(self.file))}, then sandbox up, and sandbox credentials add for accounts that "
                "the spec does not list",
                id="credentials-list",
            ) from error
        return {login.secret: login for login in logins}

    def keep(self, logins: Collection[PodLogin]) -> None:
        self._write({**self.read(), **{login.secret: login for login in logins}})

    def forget(self, names: Collection[str]) -> None:
        self._write({name: login for name, login in self.read().items() if name not in names})

    def _write(self, logins: Mapping[str, PodLogin]) -> None:
        content = TypeAdapter(list[PodLogin]).dump_json(list(logins.values()), indent=2)
        files.write_private(self.file, content + b"\n")


def file_state(file: Path | None) -> str:
    """Return a value that changes whenever a file does; empty when there is no readable file."""
    try:
        status = file.stat() if file else None
    except OSError:
        return ""
    return f"{status.st_mtime_ns}-{status.st_size}" if status else ""
