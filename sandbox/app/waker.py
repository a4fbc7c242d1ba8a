"""`python -m sandbox.app.waker NAME [SECONDS]`: resumes a paused sandbox when it is used, and pauses an unused one.

It ends when the sandbox is gone, or when the sandbox is awake and has no `pause_after`.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass

from sandbox.app import context, pausing
from sandbox.app.session import Session
from sandbox.components.edge.use import Use, UseCounts
from sandbox.engine import Engine
from sandbox.errors import SandboxError
from sandbox.names import Names
from sandbox.system.sandbox_lock import Busy, Holder

log = logging.getLogger(__name__)

WATCHING = 0.4  # seconds between two checks of a paused sandbox: its first answer may take a second
RESTING = 5.0  # seconds between two checks of a running one


@dataclass(frozen=True)
class Waker:
    """`after`: seconds without use after which the sandbox is paused, or None."""

    engine: Engine
    names: Names
    after: float | None

    def run(self) -> None:
        """Watch until the sandbox is gone, or awake and not to be paused. Raises SandboxError without an engine."""
        while Holder.read(self.names.home.lock(self.names.name)):  # the command that started this process still works
            time.sleep(WATCHING / 4)
        use = Use.of(self.engine, self.names)
        while self.names.folder.exists():
            if self.names.paused.exists():
                self._while_paused(use)
            elif self.after is None:
                return
            else:
                self._while_awake(use, self.after)

    def _while_paused(self, use: Use) -> None:
        try:
            before = UseCounts.read(self.names.paused)
        except FileNotFoundError:  # a command has just resumed it
            return
        except (OSError, ValueError) as error:
            log.warning("resumes: %s cannot be read: %s", self.names.paused, error)
            pausing.wake(self.engine, self.names)
            return
        while self.names.paused.exists():
            now = use.read()
            if now.is_used(before):
                log.info("resumes: %s, was %s", now, before)
                pausing.wake(self.engine, self.names)
                return
            before = now
            if not now.healthy:  # a new process of the edge checks the nodes again
                use.trust_servers(healthy=True)
            time.sleep(WATCHING)

    def _while_awake(self, use: Use, after: float) -> None:
        before, last_use = use.read(), time.monotonic()
        while self.names.folder.exists() and not self.names.paused.exists():
            time.sleep(RESTING)
            now = use.read()
            if now.open or now.api or now.is_used(before):
                last_use = time.monotonic()
            before = now
            if time.monotonic() - last_use >= after:
                log.info("pauses: not used for %.0f s", after)
                with (
                    suppress(Busy),
                    Session(patience=0.0).alone(self.names.name, "pause"),
                    pausing.awake_on_failure(self.engine, self.names),
                ):
                    pausing.pause(self.engine, self.names)
                last_use = time.monotonic()


def main() -> None:
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.chdir("/")
    os.umask(0o077)
    name, *after = sys.argv[1:]
    try:
        Waker(Engine.connect(), context.home().sandbox(name), float(after[0]) if after else None).run()
    except SandboxError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
