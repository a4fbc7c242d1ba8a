"""The spec that a sandbox was last brought up with, kept so that it can be started with nothing but its name."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from pydantic import ValidationError

from sandbox.errors import SandboxError
from sandbox.host import files
from sandbox.names import Names
from sandbox.spec import Settled
from sandbox.steps.step import State, Status, Work


@dataclass(frozen=True)
class RememberedStep:
    """A file that only the user can read, for a proxy's URL may hold a password; goes with the sandbox."""

    names: Names
    spec: Settled
    name: str = "spec"
    needs: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"Spec of {self.spec.name}"

    def check(self) -> Status:
        try:
            known = load(self.names)
        except SandboxError as error:
            return Status(State.DRIFTED, error.brief)
        if known is None:
            return Status(State.ABSENT)
        changed = [key for key in Settled.model_fields if getattr(known, key) != getattr(self.spec, key)]
        return Status(State.DRIFTED, f"other {', '.join(changed)}") if changed else Status(State.READY)

    def apply(self, work: Work) -> None:
        files.make_private_dir(self.names.folder)
        files.write_atomic(self.names.spec, self.spec.model_dump_json(indent=2).encode() + b"\n", mode=0o600)

    def undo(self) -> bool:
        self.names.spec.unlink(missing_ok=True)
        files.sweep_below(self.names.folder)
        with contextlib.suppress(OSError):  # there may be more in it
            self.names.folder.rmdir()
        return False  # nothing that people would miss


def load(names: Names) -> Settled | None:
    """The spec that is kept of a sandbox, or None when there is none. Raises SandboxError for what is not a spec."""
    try:
        return Settled.model_validate_json(names.spec.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise SandboxError(
            f"the spec that was kept in {names.spec} cannot be read",
            details=str(error),
            fix="sandbox up -f FILE, with the sandbox's own file, keeps it anew",
            id="remembered-spec",
        ) from error
