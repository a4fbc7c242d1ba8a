"""`sandbox dev` on a real engine: a saved file is answered over HTTPS, built at first, then copied."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from sandbox import Sandbox
from sandbox.system.wait import wait_until
from tests.real.one_project.conftest import NAME, Made
from tests.real.one_project.test_manifests import WEB as OVERLAID

pytestmark = pytest.mark.real

DOCKERFILE = """\
FROM sandbox.dev/busybox
CMD ["busybox", "sh", "-c", "echo begins; exec busybox httpd -f -p 8080 -h /site"]
COPY site /site
"""
IMAGES = "images: [{from: build, context: app, as: web SYNC}]\n"
RULE = ", sync: [{paths: {site: /site}, restart: true}]"
SPEC = """\
apiVersion: sandbox.dev/v1
name: NAME
push: images.yaml
apply: [web.yaml]
edge: {ports: auto}
registry: {port: auto}
""".replace("NAME", NAME)


@dataclass(frozen=True)
class Dev:
    """A `sandbox dev` that runs in a project, and what it told."""

    project: Made
    events: queue.Queue[dict[str, Any]]

    def told(self, name: str) -> list[dict[str, Any]]:
        heard: list[dict[str, Any]] = []
        while not heard or heard[-1]["event"] != name:
            heard.append(self.events.get(timeout=240))
            assert heard[-1]["event"] != "error", heard[-1]
        return heard

    def page(self, text: str) -> None:
        """Wait until HTTPS answers so: the edge may still have a connection to the pod before."""

        def other() -> str | None:
            said = Sandbox(self.project.folder).get("web").read().decode().strip()
            return None if said == text else said

        wait_until(other, what="the page", timeout=20)


@contextmanager
def running(project: Made) -> Iterator[Dev]:
    dev = Dev(project, queue.Queue())
    with project.command.start("dev", "--progress", "json", out=subprocess.DEVNULL) as child:

        def read() -> None:
            for line in child.stderr or ():
                if line.startswith("{"):
                    dev.events.put(json.loads(line))

        reading = threading.Thread(target=read)
        reading.start()
        try:
            yield dev
        finally:
            os.kill(child.pid, signal.SIGINT)
            assert child.wait(30) == 130
            reading.join()


def phases(heard: list[dict[str, Any]]) -> list[str]:
    return [one["phase"] for one in heard if one["event"] == "phase"]


@pytest.fixture
def project(made: Made, monkeypatch: pytest.MonkeyPatch) -> Made:
    monkeypatch.setenv("KUBECONFIG", made.command.env["KUBECONFIG"])
    made.write("app/Dockerfile", DOCKERFILE)
    made.write("app/site/index.html", "first\n")
    made.write("images.yaml", IMAGES.replace("SYNC", ""))
    made.write("web.yaml", OVERLAID)
    made.write("sandbox.yaml", SPEC)
    return made


def test_a_saved_file_is_answered_by_a_build_and_by_a_copy(project: Made) -> None:
    with running(project) as dev:
        dev.told("watching")
        dev.page("first")
        project.write("app/site/index.html", "second\n")
        assert phases(dev.told("ready")) == ["build", "push", "apply", "roll-out"]
        dev.page("second")
        project.write("images.yaml", IMAGES.replace("SYNC", RULE))
        assert phases(dev.told("watching")) == []  # the shell of the rule is in the roll-out of `up`
        dev.told("ready")
        project.write("app/site/index.html", "third\n")
        heard = dev.told("ready")
        assert phases(heard) == ["sync"]
        dev.page("third")
        while "begins" not in [one.get("line") for one in heard]:  # the program, started again by the rule
            heard += dev.told("log")
    assert project.command("status", status=None).out  # Ctrl-C left it up


@pytest.mark.nightly
@pytest.mark.fault(86, 87)
def test_failed_build_is_reported_and_what_ran_before_is_answered(project: Made) -> None:
    """RUN false, then a program that ends → the build's words, the exit code; what ran before is answered."""
    with running(project) as dev:
        dev.told("watching")
        project.write("app/Dockerfile", "FROM sandbox.dev/busybox\nRUN false\n")
        assert "false" in dev.told("failed")[-1]["details"]
        dev.page("first")
        project.write("app/Dockerfile", DOCKERFILE)
        dev.told("ready")
        assert "works on the files of" in project.command("dev", status=1).err
        project.write("images.yaml", IMAGES.replace("SYNC", RULE.replace(", restart: true", "")))
        dev.told("ready")
        project.write("app/site/index.html", "second\n")
        assert phases(dev.told("copied")) == ["sync"]  # whether the program has read it is not known
        dev.page("second")
        project.write("app/Dockerfile", DOCKERFILE.replace("exec", "exit 3; exec"))
        assert dev.told("crashed")[-1]["status"] == 3
