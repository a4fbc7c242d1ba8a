"""The doctor's table as a whole: ids, fixes and the page that is made of them."""

from __future__ import annotations

import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

from sandbox.doctor.check import Finding, Row, Status, error, failed, ok, row, run, skipped, warn
from sandbox.doctor.doctor_context import DoctorContext
from sandbox.doctor.egress_checks import CHECKS as OUTBOUND
from sandbox.doctor.table import CHECKS, FAST
from sandbox.doctor.tls.tls_pipeline import STEPS
from sandbox.errors import SandboxError

ROOT = Path(__file__).parents[3]
ALL = [(one.id, one.about, one.fix) for one in CHECKS]
ALL += [(one.id, one.about, one.fix) for one in chain.from_iterable(STEPS)]
ALL += [(one.id, one.about, one.fix) for one in OUTBOUND]


def test_every_id_is_there_once() -> None:
    ids = [id for id, _, _ in ALL]
    assert len(set(ids)) == len(ids)
    assert all(id.islower() and " " not in id for id in ids)


@pytest.mark.parametrize(("id", "about", "fix"), ALL)
def test_every_check_says_what_it_tells_and_what_to_do_otherwise(id: str, about: str, fix: str) -> None:
    assert about and fix and "|" not in about + fix


def test_the_page_is_current() -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "scripts" / "doctor-docs"], capture_output=True, text=True, check=True
    )
    assert made.stdout == (ROOT / "docs" / "doctor.md").read_text(), "scripts/doctor-docs > docs/doctor.md"


@pytest.mark.parametrize("finding", [warn("odd"), error("bad"), failed(SandboxError("no")), failed(OSError("no"))])
def test_failing_row_always_has_a_fix(finding: Finding) -> None:
    assert row("x", finding, fix="sandbox up{which}", which=" -n demo").fix == "sandbox up -n demo"


@pytest.mark.parametrize("finding", [ok("fine"), skipped("not there")])
def test_passing_row_has_no_fix(finding: Finding) -> None:
    assert row("x", finding, fix="sandbox up", which="").fix == ""


def test_a_finding_of_its_own_fix_is_preferred() -> None:
    assert row("x", error("bad", "kill{which}"), fix="other", which=" -n demo") == Row(
        "x", Status.ERROR, "bad", "kill -n demo"
    )


@pytest.mark.security(6)
def test_account_in_a_url_is_hidden() -> None:
    """A URL with an account in a row of the doctor → shown without it."""
    assert row("x", error("tcp://me:secret@host:1 is a@b"), fix="f", which="").evidence == "tcp://host:1 is a@b"


def test_on_an_empty_machine_every_check_comes_to_a_row(context: DoctorContext) -> None:
    rows = run(CHECKS, context, seconds=30)
    assert [one.id for one in rows] == [one.id for one in CHECKS]
    assert all(bool(one.fix) == (one.status in (Status.WARN, Status.ERROR)) and one.evidence for one in rows)


def test_without_an_engine_what_needs_it_is_skipped(context: DoctorContext) -> None:
    gone = SandboxError("no Docker Engine answers", details="$ x\nrefused", fix="start it")
    rows = {
        one.id: one for one in run(FAST, DoctorContext(context.spec, context.home, {}, gone, context.now), seconds=30)
    }
    reached = rows["engine.reachable"]
    assert reached == Row("engine.reachable", Status.ERROR, "no Docker Engine answers: refused", "start it")
    assert rows["ports.https"].status is rows["engine.clock"].status is Status.SKIPPED
    assert rows["machine.disk.own"].status is not Status.SKIPPED
