"""Pauses grow, and follow the server within reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.oci.client import Client
from sandbox.oci.oci_errors import RegistryError
from sandbox.oci.transport import FIRST_PAUSE, LONGEST_PAUSE, pause
from tests.support.registry_simulator import Fault, Simulator


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("86400", LONGEST_PAUSE),
        ("Fri, 31 Dec 2100 23:59:59 GMT", LONGEST_PAUSE),
        ("Fri, 31 Dec 1999 23:59:59 GMT", FIRST_PAUSE),
        ("soon", FIRST_PAUSE),
        ("", FIRST_PAUSE),
    ],
)
def test_retry_after_is_read_in_both_forms_and_capped(header: str, seconds: float) -> None:
    assert pause(0, header) == seconds


@pytest.mark.fault(35)
@given(st.integers(0, 60), st.text())
def test_no_header_is_a_crash(attempt: int, header: str) -> None:
    """Retry-After is any text → passed over."""
    assert 0 < pause(attempt, header) <= LONGEST_PAUSE


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(registry: Simulator, clock: Clock) -> Iterator[Client]:
    with Client(registry.url, sleep=clock.sleep, clock=clock) as client:
        yield client


@pytest.mark.fault(35)
@pytest.mark.parametrize("said", ["", "0", "Fri, 31 Dec 1999 23:59:59 GMT"])
def test_a_busy_registry_that_names_no_time_gets_more_and_more(
    registry: Simulator, client: Client, clock: Clock, said: str
) -> None:
    """429 without a time, or with one that is over → pauses double, and end with an error; else the time is obeyed."""
    registry.faults = [Fault("GET", "/v2/", 429, times=5, retry_after=said)]
    client.ping()
    assert clock.slept == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2])
    clock.slept.clear()
    registry.faults = [Fault("GET", "/v2/", status, times=1, retry_after="3") for status in (429, 503)]
    client.ping()
    assert clock.slept == [3.0, 3.0]
    registry.faults = [Fault("GET", "/v2/", 429, times=99)]
    with pytest.raises(RegistryError, match="refused"):
        client.ping()
