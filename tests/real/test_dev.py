"""`sandbox dev` on a real engine: a saved file is answered over HTTPS, built at first, then copied."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from sandbox.system.wait import wait_until
from tests.real import machine
from tests.real.machine import CommandLine
from tests.real.test_manifests import WEB as OVERLAID

pytestmark = pytest.mark.real

NAME = "dev"
DOCKERFILE = """\
FROM sandbox.dev/busybox
CMD ["busybox", "sh", "-c", "echo begins; exec busybox httpd -f -p 8080 -h /site"]
COPY site /site
"""
IMAGES = "images: [{from: build, context: app, as: web SYNC}]\n"
RULE = ", sync: [{paths: {site: /site}, restart: true}]"
SPEC = """\
apiVersion: sandbox.dev/v1
name: dev
push: images.yaml
apply: [web.yaml]
edge: {ports: auto}
registry: {port: auto}
"""


@dataclass(frozen=True)
class Dev:
    """A `sandbox dev` that runs in a folder, and what it told."""

    folder: Path
    events: queue.Queue[dict[str, Any]]

    def save(self, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text, encoding="utf-8")

    def told(self, name: str) -> list[dict[str, Any]]:
        """Everything up to the next event of this name, and that."""
        heard: list[dict[str, Any]] = []
        while not heard or heard[-1]["event"] != name:
            heard.append(self.events.get(timeout=240))
            assert heard[-1]["event"] != "error", heard[-1]
        return heard

    def page(self, text: str) -> None:
        """Wait until HTTPS answers so: the edge may still have a connection to the pod before."""

        def other() -> str | None:
            said = Sandbox(self.folder).get("web").read().decode().strip()
            return None if said == text else said

        wait_until(other, what="the page", timeout=20)


@contextmanager
def running(folder: Path, command: CommandLine) -> Iterator[Dev]:
    argv = [sys.executable, "-m", "sandbox", "dev", "--progress", "json"]
    made = Dev(folder, queue.Queue())
    with subprocess.Popen(
        argv,
        cwd=folder,
        env={**os.environ, **command.env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    ) as child:

        def read() -> None:
            for line in child.stderr or ():
                if line.startswith("{"):
                    made.events.put(json.loads(line))

        reading = threading.Thread(target=read)
        reading.start()
        try:
            yield made
        finally:
            os.kill(child.pid, signal.SIGINT)
            assert child.wait(30) == 130
            reading.join()


def phases(heard: list[dict[str, Any]]) -> list[str]:
    return [one["phase"] for one in heard if one["event"] == "phase"]


@pytest.mark.fault(86, 87)
def test_a_saved_file_is_answered_by_a_build_and_by_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RUN false, then a program that ends → the build's words, the exit code; what ran before is answered."""
    machine.engine()
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    folder = tmp_path / "project"
    folder.mkdir()
    command = CommandLine({"KUBECONFIG": str(tmp_path / "kubeconfig")}, folder)
    setup = Dev(folder, queue.Queue())
    setup.save("app/Dockerfile", DOCKERFILE)
    setup.save("app/site/index.html", "first\n")
    setup.save("images.yaml", IMAGES.replace("SYNC", ""))
    setup.save("web.yaml", OVERLAID.replace("manifests.sandbox", "dev.sandbox"))
    setup.save("sandbox.yaml", SPEC)
    try:
        with running(folder, command) as dev:
            dev.told("watching")
            dev.page("first")
            dev.save("app/site/index.html", "second\n")
            assert phases(dev.told("ready")) == ["build", "push", "apply", "roll-out"]
            dev.page("second")
            dev.save("app/Dockerfile", "FROM sandbox.dev/busybox\nRUN false\n")
            assert "false" in dev.told("failed")[-1]["details"]
            dev.page("second")
            dev.save("app/Dockerfile", DOCKERFILE)
            dev.told("ready")
            dev.save("images.yaml", IMAGES.replace("SYNC", RULE))
            dev.told("watching")
            dev.told("ready")
            dev.save("app/site/index.html", "third\n")
            heard = dev.told("ready")
            assert phases(heard) == ["sync"]
            dev.page("third")
            while "begins" not in [one.get("line") for one in heard]:  # the program, started again by the rule
                heard += dev.told("log")
            dev.save("app/Dockerfile", DOCKERFILE.replace("exec", "exit 3; exec"))
            assert dev.told("crashed")[-1]["status"] == 3
        assert command("status", status=None).out  # Ctrl-C left it up
    finally:
        command("down", "--purge", status=None)
