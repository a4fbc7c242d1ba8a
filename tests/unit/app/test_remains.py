"""What is left after the last sandbox was taken down for good, over folders of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.app import core
from sandbox.app.edge import ports
from sandbox.components.edge import forwarder, routes
from sandbox.components.edge.container import RECORD
from sandbox.components.edge.route import Route
from sandbox.names import Home
from sandbox.system import sandbox_lock


def used(place: Home) -> None:
    """What a sandbox that was there leaves, and a command that was killed."""
    with routes.alone(place.edge):
        (place.edge / RECORD).touch()
        routes.save(place.edge, Route("demo", "demo.test", "node", (("127.0.0.1", 443),), 1.0))
        routes.remove(place.edge, "demo")
    forwarder.use(place, Path("/bin/true"))
    with ports.hold(place.claims, "demo", [5432]):
        pass
    (place.claims / "5001.old").touch()
    place.networks.mkdir()
    (place.networks / ".lock").touch()
    for parent in (place.sandbox("demo").mirrors.parent, place.sandbox("demo").charts.parent):
        parent.mkdir()


def test_purge_of_the_last_sandbox_leaves_no_file(place: Home) -> None:
    used(place)
    down(place)
    assert [path for path in place.state.rglob("*") if path.is_file()] == []


def down(place: Home) -> None:
    for part in ("registry", "dev"):  # the second one was killed
        with sandbox_lock.take(place.lock("demo") / part, f"sandbox {part}", seconds=0, waits=print):
            pass
    with sandbox_lock.take(place.lock("demo"), "sandbox down demo --purge", seconds=0, waits=print):
        core.forget(place, "demo")


@pytest.mark.parametrize("kept", ["route", "certificates", "claim"])
def test_while_another_is_known_its_files_stay(place: Home, kept: str) -> None:
    used(place)
    if kept == "route":
        routes.save(place.edge, Route("other", "other.test", "node", (("127.0.0.1", 443),), 1.0))
    elif kept == "certificates":
        place.sandbox("other").keys.mkdir(parents=True)
    if kept != "claim":
        down(place)
    else:
        with ports.hold(place.claims, "other", [5432]):
            down(place)
    assert place.edge.is_dir() and place.networks.is_dir()
    assert not place.lock("demo").exists()
    assert not (place.claims / "5001.old").exists()
