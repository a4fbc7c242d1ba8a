"""The machine's Docker Engine, ended and started again as by a reboot, where no other containers would suffer."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from sandbox.engine import Engine
from sandbox.system.wait import wait_until
from tests.real.machine import leave_out, tool

PID = Path("/var/run/docker.pid")
SCRIPT = Path(__file__).parents[2] / "scripts" / "engine"
LOCAL = ("unix:///var/run/docker.sock", "unix:///run/docker.sock")
PATIENCE = 60.0


@dataclass(frozen=True)
class Daemon:
    """The process behind the engine; `by_systemd` where that starts it."""

    by_systemd: bool

    @classmethod
    def with_only(cls, mine: set[str]) -> Daemon:
        """The engine's, if none but the containers `mine` run there; else the test is skipped, and fails in CI."""
        if os.environ.get("DOCKER_HOST", LOCAL[0]) not in LOCAL or os.geteuid() != 0:
            _leave("needs root and the engine of this machine")
        others = set(tool("docker", "ps", "--format", "{{.Names}}").split()) - mine
        if others:
            _leave(f"would end the containers of others: {', '.join(sorted(others))}")
        found = cls.here()
        if not found.by_systemd and not PID.exists():
            _leave(f"the engine's process is not known: there is no {PID}")
        return found

    @classmethod
    def here(cls) -> Daemon:
        return cls(by_systemd=Path("/run/systemd/system").exists())

    def restart(self, number: signal.Signals) -> Engine:
        """End it by a signal that it does not survive, and start it as this machine does; the engine, which answers."""
        if self.by_systemd:
            # Its socket would start it again for a client that asks.
            tool("systemctl", "stop", "docker.socket", status=None)
            tool("systemctl", "kill", "--kill-who=main", f"--signal={number.name}", "docker")
            tool("systemctl", "restart", "docker")
            return Engine.connect()
        pid = int(PID.read_text())
        os.kill(pid, number)
        wait_until(lambda: "runs" if _runs(pid) else None, what="the engine's end", timeout=PATIENCE, sleep=time.sleep)
        tool(SCRIPT)
        return Engine.connect()


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def _leave(why: str) -> NoReturn:
    leave_out(f"the engine cannot be restarted here: {why}")
