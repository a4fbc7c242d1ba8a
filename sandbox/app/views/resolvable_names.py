"""Plans lines of the hosts file that let this machine resolve a sandbox's hosts, on demand only, and their removal."""

import os
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sandbox.app.views import overview
from sandbox.app.views.known_sandboxes import require_known
from sandbox.errors import MissingTool, SandboxError
from sandbox.system import hosts_file, process

TIMEOUT = 60.0  # seconds, where the user cannot be asked for a password


@dataclass(frozen=True)
class Change:
    """The hosts file before and after the change; `notes` are for the user."""

    before: str
    after: str
    notes: tuple[str, ...] = ()

    @property
    def shown(self) -> tuple[str, ...]:
        old, new = self.before.splitlines(), self.after.splitlines()
        gone = [f"- {line}" for line in old if line not in new]
        return (*gone, *(f"+ {line}" for line in new if line not in old))


def install(name: str) -> Change:
    """Plan the lines for every host that the sandbox `name` answers now; it must be up. Raises SandboxError."""
    require_known(name)
    answered = overview.answered_hosts(name)
    before = hosts_file.read()
    after = hosts_file.placed(before, name, answered.hosts, answered.address)
    notes = ["a hosts file has no wildcards: run it again when the sandbox gets more hosts"]
    if answered.others:  # such a host comes from an Ingress, which anything in the cluster may have made
        notes.append(f"not of the sandbox's domain, and no longer what others know by it: {', '.join(answered.others)}")
    return Change(before, after, tuple(notes))


def uninstall(name: str | None) -> Change:
    """Plan to remove the lines of a sandbox, or of all, also of those that are gone. Raises SandboxError."""
    before = hosts_file.read()
    return Change(before, hosts_file.removed(before, name))


def command(file: Path | str, *, at_terminal: bool) -> tuple[str, ...]:
    """Return the command that replaces the hosts file by `file`, keeping its owner and mode."""
    copy = ("cp", str(file), str(hosts_file.HOSTS))
    if os.geteuid() == 0:
        return copy
    return ("sudo", *copy) if at_terminal else ("sudo", "-n", *copy)


def perform(change: Change, *, at_terminal: bool) -> None:
    """Write the hosts file, unless it has changed since the plan was made. Raises SandboxError."""
    if hosts_file.read() != change.before:
        raise SandboxError(f"{hosts_file.HOSTS} was changed meanwhile", fix="run this again")
    with tempfile.TemporaryDirectory(prefix="sandbox-hosts-") as folder:
        file = Path(folder) / "hosts"
        file.write_bytes(change.after.encode(errors="surrogateescape"))
        argv = command(file, at_terminal=at_terminal)
        try:
            if at_terminal:
                process.run_at_terminal(argv)
            else:
                process.run(argv, timeout=TIMEOUT)
        except MissingTool as error:
            error.fix = f"change {hosts_file.HOSTS} as shown above, as root"
            raise
        except process.ToolFailed as error:
            fix = "run this at a terminal, where sudo can ask for a password, or as root"
            raise SandboxError(
                f"{hosts_file.HOSTS} could not be changed", details=f"{shlex.join(argv)}\n{error}", fix=fix
            ) from error
