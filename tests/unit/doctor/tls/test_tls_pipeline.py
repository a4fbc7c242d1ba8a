"""The whole walk: all steps in order, and nothing judged after the first that fails."""

from __future__ import annotations

from itertools import chain

import pytest

from sandbox.doctor.check import Status
from sandbox.doctor.doctor_context import DoctorContext
from sandbox.doctor.tls.tls_pipeline import STEPS, examine
from sandbox.errors import UsageError


def test_after_the_first_error_the_rest_is_skipped(context: DoctorContext) -> None:
    rows = list(examine(context, "nosuch.invalid", named=False))
    assert [row.id for row in rows] == [check.id for check in chain.from_iterable(STEPS)]
    assert rows[0].status is Status.ERROR
    assert {(row.status, row.evidence, row.fix) for row in rows[1:]} == {
        (Status.SKIPPED, "not checked: tls.name failed", "")
    }


def test_invalid_host_is_refused(context: DoctorContext) -> None:
    with pytest.raises(UsageError):
        list(examine(context, "not a host", named=False))
