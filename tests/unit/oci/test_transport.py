"""Pauses grow, follow the server within reason, and differ between clients that failed together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.oci.transport import FIRST_PAUSE, JITTER, LONGEST_PAUSE, asked_pause, pause_before

NOON = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@given(st.integers(0, 60), st.floats(0, 1), st.floats(0, 1))
def test_pauses_grow_whatever_the_luck_and_end_somewhere(attempt: int, one: float, other: float) -> None:
    assert FIRST_PAUSE <= pause_before(attempt, one) <= pause_before(attempt + 1, other) <= LONGEST_PAUSE


def test_luck_spreads_pauses() -> None:
    assert pause_before(0, 1.0) == pytest.approx(FIRST_PAUSE * (1 + JITTER))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("86400", LONGEST_PAUSE),
        ("9" * 5000, LONGEST_PAUSE),
        ("Tue, 14 Nov 2023 22:13:25 GMT", 5.0),
        ("Fri, 31 Dec 2100 23:59:59 GMT", LONGEST_PAUSE),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("²", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_in_both_forms_and_capped(header: str | None, seconds: float | None) -> None:
    assert asked_pause(header, NOON) == seconds


@pytest.mark.fault(35)
@given(st.text())
def test_no_header_is_a_crash(header: str) -> None:
    """Retry-After is any text → passed over."""
    assert (asked_pause(header, NOON) or 0.0) <= LONGEST_PAUSE
