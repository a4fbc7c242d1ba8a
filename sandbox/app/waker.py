"""`python -m sandbox.app.waker NAME [SECONDS]`: wakes a paused sandbox when it is used, and pauses an unused one.

It ends with the sandbox, and once that is awake and is not to be paused automatically.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from dataclasses import dataclass

from sandbox.app import context, pausing
from sandbox.app.session import Session
from sandbox.components.edge.use import Use, UseCounts
from sandbox.engine import Engine
from sandbox.errors import SandboxError
from sandbox.names import Names
from sandbox.system.sandbox_lock import Busy, Holder

log = logging.getLogger(__name__)

WATCHING = 0.4  # seconds between two checks while it is paused, out of the second that its first answer may take
RESTING = 5.0


@dataclass(frozen=True)
class Waker:
    """Watches one sandbox; it is paused when it was not used for `after` seconds."""

    engine: Engine
    names: Names
    after: float | None

    def run(self) -> None:
        """Watch until the sandbox is gone, or awake for good. Raises SandboxError when the engine is gone.

        It begins when the command that started it has ended, which may just be pausing the nodes.
        """
        while Holder.read(self.names.home.lock(self.names.name)):
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
        except FileNotFoundError:  # a command has just woken it
            return
        except (OSError, ValueError) as error:  # nothing tells whether a client waits
            log.warning("wakes, for %s cannot be read: %s", self.names.paused, error)
            pausing.wake(self.engine, self.names)
            return
        while self.names.paused.exists():
            now = use.read()
            if now.is_used(before):
                log.info("wakes: %s, was %s", now, before)
                pausing.wake(self.engine, self.names)
                return
            before = now
            if not now.healthy:  # another process of the edge asks the nodes
                use.trust_servers(healthy=True)
            time.sleep(WATCHING)

    def _while_awake(self, use: Use, after: float) -> None:
        before, since = use.read(), time.monotonic()
        while self.names.folder.exists() and not self.names.paused.exists():
            time.sleep(RESTING)
            now = use.read()
            if now.open or now.api or now.is_used(before):
                since = time.monotonic()
            before = now
            if time.monotonic() - since >= after:
                log.info("pauses, not used for %.0f s", after)
                with (
                    contextlib.suppress(Busy),
                    Session(patience=0.0).alone(self.names.name, "pause"),
                    pausing.awake_on_failure(self.engine, self.names),
                ):
                    pausing.pause(self.engine, self.names)
                since = time.monotonic()


def main() -> None:
    """Run until told to stop."""
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
