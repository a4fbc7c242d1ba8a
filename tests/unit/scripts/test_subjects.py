"""The form of commit subjects."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

FAULT = runpy.run_path(str(Path(__file__).parents[3] / "scripts/subjects"), run_name="subjects")["fault"]


@pytest.mark.parametrize(
    "subject",
    ["edge: reload once", "kube, engine: join modules", "pod-network: keep IPs", "Merge branch 'x'", "a: " + "b" * 69],
)
def test_area_and_change_is_a_subject(subject: str) -> None:
    assert FAULT(subject) is None


@pytest.mark.parametrize(
    "subject",
    ["Reload once", "edge reload once", "Edge: reload", "edge:reload", "edge: done.", "a: " + "b" * 70, "edge: "],
)
def test_any_other_subject_is_a_fault(subject: str) -> None:
    assert FAULT(subject)
