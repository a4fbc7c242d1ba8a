"""When what is between this machine and an engine's is measured, kept and forgotten; measured for real in contract/."""

from __future__ import annotations

import os
from pathlib import Path
from unittest.mock import Mock

import pytest

from sandbox.engine import reach, reach_probe
from sandbox.engine.reach import PLAIN, UNKNOWN, Reach
from sandbox.engine.reach_probe import Shown
from sandbox.names import Home
from tests.support.fakes import FakeEngine

LOCAL = ("127.0.0.1",)


@pytest.fixture
def folders(tmp_path: Path) -> Home:
    return Home(tmp_path, tmp_path, tmp_path)


def test_engine_with_its_bridges_here_takes_no_container(folders: Home) -> None:
    engine = FakeEngine()
    engine.shares = True
    assert reach.of(engine, folders) is PLAIN
    assert engine.boxes == {} and not (folders.state / "reach.json").exists()


def test_without_an_image_nothing_is_known_and_nothing_kept(folders: Home) -> None:
    assert reach.of(FakeEngine(), folders) == UNKNOWN
    assert reach.known(FakeEngine(), folders) is None


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (
            Shown(boot="another", published=("127.0.0.1",), machine="192.168.5.2", seen=True),
            Reach(published=("127.0.0.1",), machine="192.168.5.2", folders=reach.READ_ONLY),
        ),
        (Shown(boot="this", network="net:[2]", published=LOCAL), Reach(shares_kernel=True, published=LOCAL)),
        (
            Shown("this", "net:[1]", LOCAL, containers=True, machine="10.88.0.1", seen=True, written=True),
            Reach(shares_network=True, shares_kernel=True, published=LOCAL, containers=True, folders=reach.WRITABLE),
        ),
        (Shown(network="net:[1]", published=LOCAL, low_ports=False), Reach(published=LOCAL, low_ports=False)),
    ],
)
def test_measured_reach_is_kept_until_forgotten(
    folders: Home, monkeypatch: pytest.MonkeyPatch, shown: Shown, expected: Reach
) -> None:
    asked: list[Shown] = []

    def measure(*_: object) -> Shown:
        asked.append(shown)
        return shown

    monkeypatch.setattr(reach, "_read", lambda path: "this")
    monkeypatch.setattr(reach, "_link", lambda path: "net:[1]")
    monkeypatch.setattr(reach_probe, "measure", measure)
    engine = FakeEngine()
    assert [reach.of(engine, folders) for _ in range(2)] == [expected, expected]
    assert reach.known(engine, folders) == expected and len(asked) == 1
    reach.forget(folders)
    assert reach.known(engine, folders) is None


def test_a_kept_reach_counts_for_one_place(folders: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach_probe, "measure", lambda *_: Shown(published=LOCAL))
    reach.of(FakeEngine(), folders)
    assert reach.known(FakeEngine(), folders) == Reach(published=LOCAL)
    monkeypatch.setattr(reach, "_link", lambda path: "another network")
    assert reach.known(FakeEngine(), folders) is None


def test_a_kept_reach_counts_until_the_engine_starts_again(folders: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker makes its first network again at each start, and a virtual machine's folders are settings of its start."""
    monkeypatch.setattr(reach_probe, "measure", lambda *_: Shown(published=LOCAL))
    engine = FakeEngine()
    for _ in range(3):
        engine.networks.pop("bridge", None)
        engine.create_network("bridge", {})
        assert reach.known(engine, folders) is None
        reach.of(engine, folders)
        assert reach.known(engine, folders) == Reach(published=LOCAL)


@pytest.mark.parametrize("damaged", ["[", '{"KEY": {"machine": ""}}'])
def test_a_damaged_record_is_measured_again(folders: Home, monkeypatch: pytest.MonkeyPatch, damaged: str) -> None:
    (folders.state / "reach.json").write_text(damaged.replace("KEY", reach._key(FakeEngine())), encoding="utf-8")
    monkeypatch.setattr(reach_probe, "measure", lambda *_: Shown(published=LOCAL, containers=True))
    assert reach.of(FakeEngine(), folders).containers
    assert reach.known(FakeEngine(), folders) == Reach(published=LOCAL, containers=True)


def test_a_record_that_cannot_be_written_stops_nothing(folders: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach_probe, "measure", lambda *_: Shown(published=LOCAL))
    (folders.state / "reach.json").mkdir()
    assert reach.of(FakeEngine(), folders) == Reach(published=LOCAL)


def test_a_machine_that_forwards_nothing_is_asked_again(folders: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach_probe, "measure", lambda *_: Shown(boot="b"))
    assert reach.of(FakeEngine(), folders).measured
    assert reach.known(FakeEngine(), folders) is None


def test_one_command_measures_what_forwards_nothing_once(folders: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = Mock(return_value=Shown(boot="b"))
    monkeypatch.setattr(reach_probe, "measure", measure)
    found = reach.again(FakeEngine(), folders)
    assert [reach.of(FakeEngine(), folders) for _ in range(3)] == [found] * 3 and measure.call_count == 1
    assert reach.again(FakeEngine(), folders) == found and measure.call_count == 2


def test_folders_that_ended_commands_left_are_removed(folders: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    left, other = folders.state / "reach" / "left", folders.state / "reach" / "other"
    for one in (left, other):
        one.mkdir(parents=True)
        (one / "word").touch()
    os.utime(left, (0, 0))
    monkeypatch.setattr(reach_probe, "_published", lambda *_: Shown())
    monkeypatch.setattr(reach_probe, "_host_network", lambda *_: "")
    assert reach_probe.measure(Mock(), folders) == Shown()
    assert {one.name for one in (folders.state / "reach").iterdir()} == {"other"}


@pytest.mark.parametrize(("status", "found"), [(0, "answered"), (126, "")])
def test_words_of_an_engine_are_no_container_s_answer(status: int, found: str) -> None:
    """An engine that cannot run a command in a container says so where its output would be."""
    engine = Mock(execute=Mock(return_value=(status, "answered")))
    assert reach_probe._executed(engine, "name", "script") == found
