"""What the doctor says of the way between this machine and an engine's."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.config.schema import Cluster
from sandbox.doctor import reach_checks
from sandbox.doctor.check import Status
from sandbox.doctor.doctor_context import DoctorContext
from sandbox.engine import reach, reach_probe
from sandbox.engine.reach_probe import Shown
from tests.support.fakes import FakeEngine


@pytest.mark.fault(61)
@pytest.mark.parametrize(
    ("shown", "status", "words"),
    [
        (None, Status.SKIPPED, "not measured yet"),
        (Shown(boot="b"), Status.ERROR, "does not arrive"),
        (Shown(boot="b", published=("127.0.0.1",)), Status.WARN, "routes to its servers answer 503"),
        (Shown(boot="b", published=("127.0.0.1",), machine="192.168.5.2"), Status.OK, "this machine at 192.168.5.2"),
        (Shown(boot="b", published=("127.0.0.1",), machine="m", low_ports=False), Status.OK, "below 1024 do not"),
    ],
)
def test_ports_of_an_engine_elsewhere(
    context: DoctorContext,
    engine: FakeEngine,
    monkeypatch: pytest.MonkeyPatch,
    shown: Shown | None,
    status: Status,
    words: str,
) -> None:
    """An engine of another network, ports forwarded or not → the doctor says what arrives, and how this is found."""
    engine.shares = False
    monkeypatch.setattr(reach_probe, "measure", lambda *_: shown)
    found = reach_checks.ports(context)
    assert found.status is status and words in found.evidence


def test_engine_of_this_network_needs_no_more(context: DoctorContext) -> None:
    assert reach_checks.ports(context).status is Status.OK
    assert reach_checks.folders(context).status is Status.OK


@pytest.mark.parametrize(
    ("shown", "mounts", "status"),
    [
        (None, True, Status.SKIPPED),
        (Shown(), False, Status.OK),
        (Shown(), True, Status.WARN),
        (Shown(seen=True), True, Status.WARN),
        (Shown(seen=True, written=True), True, Status.OK),
    ],
)
def test_folders_matter_where_the_spec_mounts_some(
    context: DoctorContext,
    engine: FakeEngine,
    monkeypatch: pytest.MonkeyPatch,
    shown: Shown | None,
    mounts: bool,
    status: Status,
) -> None:
    engine.shares = False
    monkeypatch.setattr(reach_probe, "measure", lambda *_: shown)
    if mounts:
        wanted = Cluster.model_validate({"mounts": ({"host": Path.home(), "node": "/data"},)})
        object.__setattr__(context, "spec", context.spec.model_copy(update={"cluster": wanted}))
    assert reach_checks.folders(context).status is status


def test_fix_measures_again(context: DoctorContext, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.shares = False
    shown = [Shown(), Shown(published=("127.0.0.1",)), Shown(published=("127.0.0.1",), machine="m")]
    monkeypatch.setattr(reach, "_FRESH", 0.0)
    monkeypatch.setattr(reach_probe, "measure", lambda *_: shown.pop(0))
    assert reach_checks.ports(context).status is Status.ERROR
    assert [reach_checks.ports(context).status for _ in range(2)] == [Status.WARN] * 2
    reach_checks.measure(context)
    assert reach_checks.ports(context).status is Status.OK
