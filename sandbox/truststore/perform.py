"""Carries out planned changes: the only part that writes, with the very command lines that were shown."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import MissingTool, SandboxError
from sandbox.system import process
from sandbox.truststore.change import Change, Command
from sandbox.truststore.trust_machine import Machine

TIMEOUT = 180.0
_ADMIN_FOLDERS = (Path("/usr/sbin"), Path("/sbin"))  # on the PATH of sudo, not always on the user's


@dataclass(frozen=True)
class Performer:
    """Runs commands on `machine`; at a terminal they may ask the user for a password, elsewhere they fail instead."""

    machine: Machine
    at_terminal: bool

    def argv(self, command: Command) -> tuple[str, ...]:
        """What is run for `command`, sudo included."""
        if not command.as_root or self.machine.is_root:
            return command.argv
        return ("sudo", *command.argv) if self.at_terminal else ("sudo", "-n", *command.argv)

    def shown(self, change: Change) -> tuple[str, ...]:
        """What `change` does, a line a command or file."""
        lines = [shlex.join(self.argv(command)) for command in change.commands]
        if change.file:
            lines.append(f"(write {change.place})")
        return tuple(lines)

    def require_tools(self, changes: Sequence[Change]) -> None:
        """Raise MissingTool, before anything is changed, when a program that is needed is not installed."""
        for command in dict.fromkeys(command for change in changes for command in change.commands):
            for program in {self.argv(command)[0], command.argv[0]}:
                if not process.which(program, extra=_ADMIN_FOLDERS):
                    raise MissingTool(
                        f"{program} is not installed", details=shlex.join(command.argv), fix=self._fix(program)
                    )

    def perform(self, changes: Sequence[Change], done: Callable[[Change], None]) -> None:
        """Make `changes` in their order and tell `done` of each. Raises SandboxError at the first that fails."""
        for change in changes:
            try:
                for command in change.commands:
                    self._run(self.argv(command))
            except process.ToolFailed as error:
                raise self._stopped(change, error) from error
            if change.file:
                change.file.rewrite(change.root, adds=change.adds)
            done(change)

    def _run(self, argv: Sequence[str]) -> None:
        if self.at_terminal:
            process.run_at_terminal(argv)
        else:
            process.run(argv, timeout=TIMEOUT)

    def _stopped(self, change: Change, error: process.ToolFailed) -> SandboxError:
        fix = "run this again once that is mended; it goes on where it stopped"
        if change.commands[0].as_root and not (self.machine.is_root or self.at_terminal):
            fix = "run this at a terminal, where sudo can ask for a password, or as root"
        return SandboxError(f"could not {change.title}", details=str(error), fix=fix, id="trust")

    def _fix(self, program: str) -> str:
        match program:
            case "certutil":
                return f"{self.machine.nss_tools}\nor leave browsers out: --store system"
            case "sudo":
                return "run the commands that --dry-run shows as root"
            case _:
                return f"install {program}, or leave that store out with --store"
