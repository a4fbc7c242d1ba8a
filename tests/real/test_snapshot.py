"""Sandboxes kept and brought back: whole, as they were, whatever happened and was killed meanwhile."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.app import context
from sandbox.engine import Engine
from sandbox.names import LABEL
from tests.real import machine
from tests.real.application import Application
from tests.real.machine import tool

pytestmark = [pytest.mark.real, pytest.mark.nightly]

NAME = "test-snapshot"


@pytest.fixture(scope="module")
def engine() -> Engine:
    return machine.engine()


@pytest.fixture(scope="module")
def app(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    made = Application.free(NAME, tmp_path_factory.mktemp("snapshot"))
    made.write()
    try:
        made.command("up")
        yield made
    finally:
        made.command("down", "--purge", status=None)
        for one in listed(made):
            made.command("snapshot", "delete", one["snapshot"], status=None)


def listed(app: Application) -> list[dict[str, str]]:
    return [one for one in json.loads(app.command("snapshot", "list", "-o", "json").out) if one["sandbox"] == NAME]


def killed(app: Application, moment: Callable[[], bool], *arguments: str) -> None:
    """Run the command and kill it outright as soon as `moment` has come."""
    child = app.command.start(*arguments, out=subprocess.DEVNULL, err=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not moment():
        assert child.poll() is None and time.monotonic() < deadline, "the moment never came"
        time.sleep(0.005)
    child.kill()
    child.wait()


def nodes(engine: Engine, app: Application) -> dict[str, str]:
    return {one.name: one.id for one in engine.containers(f"io.x-k8s.kind.cluster={app.names.cluster}")}


def kept() -> Path:
    return context.home().snapshots / NAME


def test_running_sandbox_is_saved_without_a_stop(app: Application, engine: Engine) -> None:
    pods = app.kubectl("get", "pods", "-A", "-o", "jsonpath={.items[*].status.containerStatuses[*].restartCount}")
    before = nodes(engine, app)
    app.command("snapshot", "save", "first")
    assert (nodes(engine, app), app.page()) == (before, "first")
    after = app.kubectl("get", "pods", "-A", "-o", "jsonpath={.items[*].status.containerStatuses[*].restartCount}")
    assert after == pods
    (one,) = listed(app)
    assert one["snapshot"] == "first" and int(one["bytes"]) > 1_000_000
    assert {path.stat().st_mode & 0o777 for path in (kept() / "first").iterdir()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (kept(), kept() / "first")} == {0o700}
    assert "has a snapshot 'first' already" in app.command("snapshot", "save", "first", status=2).err


@pytest.mark.nightly
@pytest.mark.fault(8)
def test_a_save_that_was_killed_leaves_nothing_that_is_listed(app: Application, engine: Engine) -> None:
    """SIGKILL in the middle of `snapshot save` → the next client wakes it, it is not listed, the next one clears up"""
    killed(app, lambda: any((kept() / ".unfinished").glob("*.tar")), "snapshot", "save", "torn")
    assert app.page() == "first"
    assert not any(node.paused for node in map(engine.container, nodes(engine, app)) if node)
    assert [one["snapshot"] for one in listed(app)] == ["first"]
    app.command("snapshot", "save", "second")
    assert sorted(path.name for path in kept().iterdir()) == ["first", "second"]
    app.command("snapshot", "delete", "second")


def test_snapshot_with_changed_bytes_is_refused_without_change(app: Application, engine: Engine) -> None:
    (tar,) = (kept() / "first").glob("*-var.tar")
    with tar.open("r+b") as file:
        file.seek(4096)
        before = file.read(1)
        file.seek(4096)
        file.write(bytes([before[0] ^ 1]))
    was = nodes(engine, app)
    ran = app.command("snapshot", "restore", "first", "--yes", status=1)
    assert "is damaged" in ran.err and tar.name in ran.err
    assert (nodes(engine, app), app.page()) == (was, "first")
    with tar.open("r+b") as file:
        file.seek(4096)
        file.write(before)


@pytest.mark.fault(8)
def test_restore_killed_early_leaves_the_existing_sandbox(app: Application, engine: Engine) -> None:
    """SIGKILL while `snapshot restore` prepares → the sandbox there is goes on, what was prepared goes"""
    app.store("changed")
    was = nodes(engine, app)
    killed(app, lambda: engine.container(app.names.copier) is not None, "snapshot", "restore", "first", "--yes")
    assert app.page() == "changed"
    app.command("up")
    assert (nodes(engine, app), app.page()) == (was, "changed")
    assert [path.name for path in kept().iterdir()] == ["first"]


@pytest.mark.fault(8)
def test_restore_that_was_killed_is_completed_by_the_next_command(app: Application, engine: Engine) -> None:
    """SIGKILL while `snapshot restore` replaces the nodes → the next command completes it"""
    app.store("changed")
    was = nodes(engine, app)
    killed(app, (kept() / ".restoring" / "ready").exists, "snapshot", "restore", "first", "--yes")
    app.command("up")
    assert nodes(engine, app).keys() == was.keys() and nodes(engine, app) != was
    assert app.page() == "first"
    assert [path.name for path in kept().iterdir()] == ["first"]


def test_restore_brings_back_the_saved_state(app: Application, engine: Engine) -> None:
    root = app.names.root_certificate.read_bytes()
    ran = app.command("snapshot", "restore", "first", status=2)
    assert "would be replaced" in ran.err and "--yes" in ran.err
    app.kubectl("delete", "ingress", "app")
    app.kubectl("create", "namespace", "later")
    app.command("certs", "renew", "--root", "--yes")
    app.command("snapshot", "restore", "first", "--yes")
    assert app.page() == "first"
    assert "later" not in app.kubectl("get", "namespaces")
    assert app.names.root_certificate.read_bytes() == root
    assert {state for state, _ in app.command.steps().values()} == {"ready"}
    assert app.command("up", "--plan").out == ""


@pytest.mark.nightly
def test_restore_works_after_everything_is_gone(app: Application, engine: Engine) -> None:
    app.command("down", "--purge")
    assert engine.containers(f"{LABEL}={NAME}") == () and engine.volume_labels(app.names.volume) is None
    app.elsewhere("snapshot", "restore", "first", "-n", NAME)
    assert app.page() == "first"
    assert "app" in tool("curl", "--silent", f"http://127.0.0.1:{app.registry}/v2/_catalog")
    app.command("snapshot", "delete", "first")
    assert listed(app) == [] and not kept().exists()
    assert "no snapshot" in app.command("snapshot", "restore", status=2).err
