"""What is left after the last sandbox was taken down for good, over folders of the test's own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from sandbox.app import port_reservations, remains
from sandbox.components.edge import edge_folder, routes
from sandbox.components.edge.relay import Relay
from sandbox.components.edge.routes import Route
from sandbox.names import Home
from sandbox.system import sandbox_lock


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "state", tmp_path / "cache", tmp_path / "kubeconfig")


def used(home: Home) -> None:
    """What a sandbox that was there leaves, and a command that was killed."""
    with edge_folder.alone(home.edge):
        edge_folder.write(home.edge, ())
    relayed = Route("demo", "demo.test", "node", (("127.0.0.1", 443),), 1.0)
    routes.save(home.relay, relayed)
    Relay(home).withdraw(relayed.name)
    with port_reservations.hold(home.claims, "demo", [("sandbox-edge", 443)]):
        pass
    (home.claims / "5001.sandbox-old-registry.old").touch()
    home.networks.mkdir()
    (home.networks / ".lock").touch()
    for parent in (home.sandbox("demo").mirrors.parent, home.sandbox("demo").charts.parent):
        parent.mkdir()


def test_folder_that_another_down_removes_is_empty(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    used(home)
    listed = os.listdir

    def gone(path: Path) -> list[str]:
        if path == home.claims:
            shutil.rmtree(path)
        return listed(path)

    monkeypatch.setattr(os, "listdir", gone)
    down(home)
    assert list(home.state.rglob("*")) == []


def down(home: Home) -> None:
    for part in ("registry", "dev"):  # the second one was killed
        with sandbox_lock.take(home.lock("demo") / part, f"sandbox {part}", seconds=0, waits=print):
            pass
    with sandbox_lock.take(home.lock("demo"), "sandbox down demo --purge", seconds=0, waits=print):
        remains.sweep(home, "demo")


def test_after_the_last_purge_no_file_is_left(home: Home) -> None:
    used(home)
    down(home)
    assert list(home.state.rglob("*")) == []


def test_locks_of_names_that_no_sandbox_has_go_unless_held(home: Home) -> None:
    for lock in (home.lock("planned"), home.lock("planned") / "registry"):
        with sandbox_lock.take(lock, "sandbox up --plan", seconds=0, waits=print):
            pass
    with sandbox_lock.take(home.lock("held"), "sandbox up", seconds=0, waits=print):
        down(home)
        assert [path.name for path in home.lock("held").parent.iterdir()] == ["held"]
        assert sandbox_lock.Holder.read(home.lock("held"))


@pytest.mark.parametrize("kept", ["route", "certificates", "claim"])
def test_while_another_is_known_its_files_stay(home: Home, kept: str) -> None:
    used(home)
    if kept == "route":
        routes.save(home.edge, Route("other", "other.test", "node", (("127.0.0.1", 443),), 1.0))
    elif kept == "certificates":
        home.sandbox("other").keys.mkdir(parents=True)
    if kept != "claim":
        down(home)
    else:
        with port_reservations.hold(home.claims, "other", [("sandbox-edge", 443)]):
            down(home)
    assert home.edge.is_dir() and home.networks.is_dir()
    assert not home.lock("demo").exists()
    assert not (home.claims / "5001.sandbox-old-registry.old").exists()


def test_claims_of_killed_commands_go_and_held_ones_stay(home: Home) -> None:
    with port_reservations.hold(home.claims, "demo", [("sandbox-edge", 443)]):
        (home.claims / "5001.sandbox-old-registry.old").touch()
        port_reservations.sweep(home.claims)
        assert [path.name for path in home.claims.iterdir()] == ["443.sandbox-edge.demo"]


@pytest.mark.parametrize("more", [False, True], ids=["alone", "with other files"])
def test_values_of_addons_go_with_the_sandbox(home: Home, more: bool) -> None:
    names = home.sandbox("demo")
    names.addon_values.mkdir(parents=True)
    (names.addon_values / "grafana.yaml").touch()
    if more:
        names.spec.touch()
    remains.forget_addons(names)
    assert names.folder.exists() is more
    assert not names.addon_values.exists()
