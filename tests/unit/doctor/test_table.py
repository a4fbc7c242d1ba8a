"""The doctor's table as a whole: ids, fixes and the page that is made of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sandbox.doctor.check import DoctorContext, Status, run
from sandbox.doctor.egress_checks import CHECKS as OUTBOUND
from sandbox.doctor.service_checks import CHECKS as SERVICE
from sandbox.doctor.table import CHECKS, EXISTING
from sandbox.doctor.tls.request_checks import CHECKS as TLS

ROOT = Path(__file__).parents[3]
TABLES = (CHECKS, EXISTING, TLS, SERVICE, OUTBOUND)
ALL = [(check.id, check.about, check.fix) for table in TABLES for check in table]


def test_every_id_is_there_once() -> None:
    ids = [id for id, _, _ in ALL]
    assert len(set(ids)) == len(ids)
    assert all(id.islower() and " " not in id for id in ids)
    assert all(about and fix and "|" not in about + fix for _, about, fix in ALL)


def test_the_page_is_current() -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "scripts" / "doctor-docs"], capture_output=True, text=True, check=True
    )
    assert made.stdout == (ROOT / "docs" / "doctor.md").read_text(), "scripts/doctor-docs > docs/doctor.md"


def test_on_an_empty_machine_every_check_comes_to_a_row(context: DoctorContext) -> None:
    rows = run(CHECKS, context, seconds=30)
    assert [one.id for one in rows] == [one.id for one in CHECKS]
    assert all(bool(one.fix) == (one.status in (Status.WARN, Status.ERROR)) and one.evidence for one in rows)
