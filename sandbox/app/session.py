"""How a caller works on sandboxes: its locks, its patience, and where its messages and progress go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.app.context import home
from sandbox.engine import Engine
from sandbox.errors import SandboxError
from sandbox.names import Names
from sandbox.plan import saved_spec
from sandbox.report import Reporter
from sandbox.snapshot.snapshot_store import Store
from sandbox.system import sandbox_lock

if TYPE_CHECKING:
    from sandbox.snapshot.snapshot_restore import Restoring

# Seconds to wait for another command on the same sandbox: longer than any `up` takes.
PATIENCE = 600.0


@dataclass
class Task:
    """What is done in no walk over a plan: `say` gets lines of progress, and `done` is said of it in the end."""

    say: Callable[[str], None]
    done: str = ""


@dataclass(frozen=True, kw_only=True)
class Session:
    """The locks of a caller, and where its messages go.

    `command` is what other commands that wait are told of this one, by default the method that runs; `patience` is for
    how many seconds to wait for another. `say` takes messages that belong to no step, and `report` is told of every
    step.
    """

    command: str = ""
    patience: float = PATIENCE
    say: Callable[[str], None] = lambda _: None
    report: Reporter = field(default_factory=Reporter)

    @contextmanager
    def alone(self, name: str, doing: str, *, anywhere: bool = False) -> Iterator[None]:
        """Keep other commands from changing the sandbox, after finishing a `snapshot restore` that was killed.

        With `anywhere` it may be on another engine, where it is left as it is. Raises Busy and SandboxError.
        """
        names = home().sandbox(name)
        with sandbox_lock.take(names.home.lock(name), self._command(doing), seconds=self.patience, waits=self.say):
            if not (anywhere and saved_spec.other_engine(names)):
                saved_spec.require_engine(names)
                if Store(names.home.snapshots).is_unfinished(names.name):
                    restoring(names, Engine.connect()).recover()
                wake_paused(names, self.say)
            yield

    def pushing(self, name: str, doing: str) -> AbstractContextManager[None]:
        """Keep other commands from changing the content of the sandbox's registry.

        A garbage collection takes blobs without a manifest. A caller that needs the sandbox too takes this lock first,
        since `up` has only the other one. Raises Busy.
        """
        return self.locked(home().lock(name) / "registry", f"the registry of '{name}'", doing)

    @contextmanager
    def following(self, name: str) -> Iterator[None]:
        """Keep a second `dev` from the sandbox: each would undo what the other did to pods. Raises Busy at once."""
        folder = home().lock(name) / "dev"
        what = f"the files of '{name}'"
        with sandbox_lock.take(folder, self._command("dev"), seconds=0, waits=self.say, what=what):
            try:
                yield
            finally:
                sandbox_lock.forget(folder)

    def locked(self, folder: Path, what: str, doing: str) -> AbstractContextManager[None]:
        """Keep other commands from `folder`, which has `what`, after waiting for one, which is named. Raises Busy."""
        return sandbox_lock.take(folder, self._command(doing), seconds=self.patience, waits=self.say, what=what)

    @contextmanager
    def task(self, title: str) -> Iterator[Task]:
        task, started = Task(partial(self.report.event, "progress", title)), time.monotonic()
        self.report.event("began", title)
        try:
            yield task
        except SandboxError as error:
            self.report.event("failed", title, error.brief)
            raise
        self.report.event("finished", title, task.done, time.monotonic() - started)

    def _command(self, doing: str) -> str:
        return self.command or f"Sandbox.{doing}"


def wake_paused(names: Names, say: Callable[[str], None] = lambda _: None) -> None:
    """Wake a sandbox that is paused, and say so. Raises SandboxError, also where it is on another engine."""
    if names.paused.exists():
        from sandbox.app import pausing

        saved_spec.require_engine(names)
        say(f"waking '{names.name}', which is paused")
        pausing.wake(Engine.connect(), names)


def restoring(names: Names, engine: Engine) -> Restoring:
    from sandbox.components.cluster.kind import provider as kind_provider
    from sandbox.snapshot.snapshot_restore import Restoring

    mark = kind_provider.nodes(engine, names).mark
    return Restoring(engine=engine, names=names, store=Store(names.home.snapshots), mark=mark)
