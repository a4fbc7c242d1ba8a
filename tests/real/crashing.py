"""A real sandbox to be broken: commands that end in the middle, and what is there afterwards that should not be."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sandbox.app import context
from sandbox.components.edge import routes
from sandbox.engine import Engine, labelled
from sandbox.names import EDGE, LABEL, OWNER, Names
from tests.real.application import Application
from tests.real.machine import ROOT, CommandLine, tool

FOREIGN: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "work", "cluster": {"server": "https://work.example:6443"}}],
    "users": [],
    "contexts": [{"name": "work", "context": {"cluster": "work", "user": "me"}}],
    "current-context": "work",
}
# How a command ends that comes to a failpoint.
STATUS: Mapping[str, int] = {"kill": -9, "term": 143, "hup": 129, "interrupt": 130, "raise": 1, "enospc": 1}
FILES = {"sandbox.yaml", "images.yaml", "images.lock.yaml", "k8s", "kubeconfig"}

# The command line, whose plan ends after as many steps as its first argument says.
_PARTLY = """
import sys
from sandbox.app import machine_plan
from sandbox.cli import main, up
from tests.support import failpoint
build, count, point = machine_plan.steps, int(sys.argv.pop(1)), sys.argv.pop(1)
if point:
    failpoint.arm(failpoint.Failpoint.parse(point))
def partly(*given, **more):
    steps, *rest = build(*given, **more)
    return steps[:count], *rest
machine_plan.steps = partly
up.welcome = lambda *given: None
main()
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its status, its words, and the seconds from a signal to the next word and to the end."""

    status: int
    said: str
    answered: float | None = None
    gone: float | None = None

    def told(self, event: str) -> set[str]:
        """The titles of the steps of which there was such an event, when told by `--progress json`."""
        lines = (json.loads(line) for line in self.said.splitlines() if line.startswith("{"))
        return {one["step"] for one in lines if one["event"] == event}


@dataclass(frozen=True)
class Broken:
    """An application in a sandbox of its own, with a kubeconfig that has another user's context."""

    app: Application

    @classmethod
    def new(cls, name: str, folder: Path) -> Broken:
        """One whose files are in `folder`, on ports that are free."""
        app = Application.free(name, folder)
        app.write()
        (folder / "kubeconfig").write_text(yaml.safe_dump(FOREIGN))
        return cls(app)

    @property
    def names(self) -> Names:
        return self.app.names

    @property
    def command(self) -> CommandLine:
        return self.app.command

    @property
    def kubeconfig(self) -> Path:
        return self.app.folder / "kubeconfig"

    def steps(self) -> dict[str, str]:
        found = json.loads(self.command("status", "-o", "json", status=None).out)
        return {one["step"]: one["title"] for one in found["steps"]}

    def run(
        self,
        *arguments: str,
        failpoint: str = "",
        number: signal.Signals | None = None,
        after: float = 0,
        steps: int | None = None,
    ) -> Ended:
        """Run a command that breaks at a failpoint, or is sent a signal after some seconds.

        With `steps` it knows no more than the first of the plan's steps.
        """
        program = ["-m", "tests.support.failpoint", failpoint] if failpoint else ["-m", "sandbox"]
        if steps is not None:
            program = ["-c", _PARTLY, str(steps), failpoint]
        env = {**os.environ, "SANDBOX_PROGRESS": "plain", **self.command.env}
        env |= {"PYTHONPATH": str(ROOT)}
        child = subprocess.Popen(
            [sys.executable, *program, *arguments, *(("--yes",) if arguments[0] == "up" else ())],  # to a lost node
            env=env,
            cwd=self.app.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        heard: list[tuple[float, bytes]] = []
        listener = threading.Thread(target=_listen, args=(child, heard))
        listener.start()
        sent = None
        if number is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(after)
            if child.poll() is None:
                sent = time.monotonic()
                child.send_signal(number)
        status = child.wait(900)
        gone = time.monotonic()
        listener.join(20)  # what it left running may hold its stderr open, which `left` would tell
        said = b"".join(words for _, words in heard).decode(errors="replace")
        answered = min((at - sent for at, _ in heard if sent is not None and at > sent), default=None)
        return Ended(status, said, answered, None if sent is None else gone - sent)

    def left(self, engine: Engine) -> set[str]:
        """All that is ours and still there, after `down --purge` of the user's only sandbox."""
        names, home = self.names, context.home()
        listed = tool("docker", "ps", "--all", "--format", "{{.Names}}").split()
        left = {one for one in listed if one.startswith((names.cluster, EDGE))}
        left |= {one.name for one in engine.containers(LABEL)}
        # Those of another user or state folder come and go meanwhile.
        others = {one.name for one in engine.containers(OWNER) if not labelled.is_ours(one, home)}
        found = {f"container {one}" for one in left - others}
        found |= {f"volume {one}" for one in engine.labelled_volumes(f"{LABEL}={names.name}")}
        found |= {f"network {one}" for one in engine.labelled_networks(f"{LABEL}={names.name}")}
        found |= {f"route of {one.name}" for one in routes.load(home.edge) if one.name == names.name}
        found |= {str(path) for path in (names.folder, names.keys, names.mirrors) if path.exists()}
        found |= {str(path) for path in home.state.rglob("*") if path.name.endswith((".tmp", "kubeconfig.lock"))}
        found |= {str(path) for path in self.app.folder.iterdir() if path.name not in FILES}
        config = yaml.safe_load(self.kubeconfig.read_text())
        if {key: config.get(key) for key in FOREIGN} != FOREIGN:
            found.add("the kubeconfig is not as it was")
        return found | {f"process {line}" for line in _processes() if names.cluster in line}


def _listen(child: subprocess.Popen[bytes], heard: list[tuple[float, bytes]]) -> None:
    assert child.stderr is not None
    while words := os.read(child.stderr.fileno(), 65536):
        heard.append((time.monotonic(), words))
    child.stderr.close()


def _processes() -> list[str]:
    lines = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if words[0] and int(entry.name) != os.getpid():
                lines.append(f"{entry.name} {' '.join(words).strip()}")
    return lines
