"""A real sandbox to be broken: commands that end in the middle, what is still there afterwards, HTTPS as a verdict."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sandbox.cli import environment
from sandbox.host.engine import Engine
from sandbox.names import EDGE, LABEL, NETWORK, Names
from sandbox.proxy import routes
from tests.real import machine
from tests.real.machine import CommandLine, tool

DEMO = Path(__file__).parents[2] / "fixtures" / "demos" / "web"
FOREIGN: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "work", "cluster": {"server": "https://work.example:6443"}}],
    "users": [],
    "contexts": [{"name": "work", "context": {"cluster": "work", "user": "me"}}],
    "current-context": "work",
}


@dataclass(frozen=True)
class Ended:
    """How a command ended: its status, its words, and the seconds from a signal to the next word and to the end."""

    status: int
    said: str
    answered: float | None = None
    gone: float | None = None


@dataclass(frozen=True)
class Broken:
    """The demo under a name of its own, with a kubeconfig that has somebody else's context."""

    name: str
    folder: Path
    port: int

    @classmethod
    def copy(cls, name: str, folder: Path) -> Broken:
        """The demo in `folder`, on ports that are free."""
        shutil.copytree(DEMO, folder / "demo")
        first, second, registry = machine.free_ports(443, 8443, 5001)
        domain = f"{name}.sandbox.localhost"
        for file in [*folder.glob("demo/k8s/*.yaml"), folder / "demo" / "sandbox.yaml"]:
            text = file.read_text().replace("demo.sandbox.localhost", domain)
            file.write_text(text.replace("localhost:5001", f"localhost:{registry}"))
        spec = yaml.safe_load((folder / "demo" / "sandbox.yaml").read_text())
        spec |= {"name": name, "registry": {"port": registry}, "proxy": {"ports": [first, second]}}
        (folder / "demo" / "sandbox.yaml").write_text(yaml.safe_dump(spec))
        (folder / "kubeconfig").write_text(yaml.safe_dump(FOREIGN))
        return cls(name, folder, first)

    @property
    def names(self) -> Names:
        return environment.home().sandbox(self.name)

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def command(self) -> CommandLine:
        return CommandLine({"KUBECONFIG": str(self.kubeconfig)}, self.folder / "demo")

    def steps(self) -> list[str]:
        """The names of the plan's steps."""
        found = json.loads(self.command("status", "-o", "json", status=None).out)
        return [one["step"] for one in found["steps"]]

    def run(
        self, *arguments: str, failpoint: str = "", number: signal.Signals | None = None, after: float = 0
    ) -> Ended:
        """Run a command that breaks at a failpoint, or is sent a signal after some seconds."""
        env = {**os.environ, "SANDBOX_PROGRESS": "plain", "KUBECONFIG": str(self.kubeconfig)}
        if failpoint:
            env |= {"SANDBOX_TEST": "1", "SANDBOX_FAILPOINT": failpoint}
        child = subprocess.Popen(
            [sys.executable, "-m", "sandbox", *arguments],
            env=env,
            cwd=self.folder / "demo",
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

    def answers(self) -> int:
        """The status of the demo's page, by a TLS client that trusts the sandbox's root alone."""
        host = f"hello.{self.name}.sandbox.localhost"
        context = ssl.create_default_context(cafile=str(self.names.root_certificate))
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=15, context=context)
        connection.connect = lambda: _connect(connection, host, self.port, context)  # type: ignore[method-assign]
        try:
            connection.request("GET", "/", headers={"Host": host})
            return connection.getresponse().status
        finally:
            connection.close()

    def left(self, engine: Engine) -> set[str]:
        """All that is ours and still there, after `down --purge` of the only sandbox."""
        names, home = self.names, environment.home()
        listed = tool("docker", "ps", "--all", "--format", "{{.Names}}").split()
        found = {f"container {one}" for one in listed if one.startswith((names.cluster, EDGE))}
        found |= {f"container {one.name}" for one in engine.containers(LABEL)}
        found |= {f"volume {one}" for one in engine.labelled_volumes(f"{LABEL}={self.name}")}
        found |= {f"network {NETWORK}"} if engine.network(NETWORK) else set()
        found |= {f"route of {one.name}" for one in routes.load(home.edge) if one.name == self.name}
        found |= {str(path) for path in (names.folder, names.keys, names.mirrors) if path.exists()}
        found |= {str(path) for path in home.state.rglob("*") if path.name.endswith((".tmp", "kubeconfig.lock"))}
        found |= {str(path) for path in self.folder.iterdir() if path.name not in {"demo", "kubeconfig"}}
        config = yaml.safe_load(self.kubeconfig.read_text())
        if {key: config.get(key) for key in FOREIGN} != FOREIGN:
            found.add("the kubeconfig is not as it was")
        return found | {f"process {line}" for line in _processes() if names.cluster in line}


def _listen(child: subprocess.Popen[bytes], heard: list[tuple[float, bytes]]) -> None:
    assert child.stderr is not None
    while words := os.read(child.stderr.fileno(), 65536):
        heard.append((time.monotonic(), words))
    child.stderr.close()


def _connect(connection: http.client.HTTPSConnection, host: str, port: int, context: ssl.SSLContext) -> None:
    import socket

    plain = socket.create_connection(("127.0.0.1", port), timeout=15)
    connection.sock = context.wrap_socket(plain, server_hostname=host)


def _processes() -> list[str]:
    """The process id and command line of every other process."""
    lines = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if words[0] and int(entry.name) != os.getpid():
                lines.append(f"{entry.name} {' '.join(words).strip()}")
    return lines
