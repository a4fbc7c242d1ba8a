"""The window over a clock that is moved by hand, and the gate over real threads; nothing here sleeps."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.oci.client import Client
from sandbox.oci.manifest import Descriptor
from sandbox.oci.oci_errors import RegistryError
from sandbox.oci.throttle import CALM, SMALL_BODY, Lane, Throttle, Window, admits, lane
from tests.support.images import digest_of
from tests.support.registry_simulator import Fault, Simulator

SMALL, LARGE = Lane.SMALL, Lane.LARGE


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
    with Client(registry.url, sleep=clock.sleep, clock=clock, luck=lambda: 0.0) as client:
        yield client


def test_refusals_halve_the_window_down_to_one() -> None:
    windows = [Window(8, 8)]
    for now in range(5):
        windows.append(windows[-1].refused(float(now), float(now), 0.0))
    assert [window.limit for window in windows] == [8, 4, 2, 1, 1, 1]


def test_refusals_of_requests_from_before_count_once() -> None:
    window = Window(8, 8).refused(10.0, 9.0, 0.0)
    assert window.refused(10.1, 9.5, 3.0).limit == 4
    assert window.refused(10.1, 9.5, 3.0).resume == pytest.approx(13.1)
    assert window.refused(10.2, 10.1, 0.0).limit == 2


def test_calm_raises_the_window_by_one_at_a_time() -> None:
    window = Window(4, 4).refused(0.0, 0.0, 0.0)
    limits = []
    for now in (0.1, CALM, CALM + 0.1, 2 * CALM, 2 * CALM + 0.1, 9 * CALM):
        window = window.succeeded(now)
        limits.append(window.limit)
    assert limits == [2, 3, 3, 4, 4, 4]


@given(st.lists(st.tuples(st.sampled_from(["refused", "succeeded"]), st.floats(0, 5), st.floats(0, 40))))
def test_window_stays_in_bounds_and_never_resumes_earlier(events: list[tuple[str, float, float]]) -> None:
    windows, now = [Window(6, 6)], 0.0
    for event, step, wait in events:
        now += step
        window = windows[-1]
        windows.append(window.refused(now, now, wait) if event == "refused" else window.succeeded(now))
    assert all(1 <= window.limit <= 6 for window in windows)
    assert all(a.resume <= b.resume for a, b in pairwise(windows))


COUNTS = st.integers(0, 4)


@given(st.integers(1, 6), COUNTS, COUNTS, COUNTS, COUNTS, st.sampled_from([None, SMALL, LARGE]))
def test_both_lanes_move_whatever_the_other_does(
    limit: int, small: int, large: int, waiting_small: int, waiting_large: int, last: Lane | None
) -> None:
    running, waiting = Counter({SMALL: small, LARGE: large}), Counter({SMALL: waiting_small, LARGE: waiting_large})
    for wish in Lane:
        if waiting[wish] and not running[wish] and running[wish.other] < limit and limit > 1:
            starved = running[wish.other] == limit - 1 and not admits(wish, limit, running, waiting, last)
            assert not starved
            assert not (admits(wish.other, limit, running, waiting, last) and running[wish.other] == limit - 1)
    if waiting[SMALL] and waiting[LARGE] and not small and not large:
        assert any(admits(wish, limit, running, waiting, last) for wish in Lane)
    if small + large >= limit:
        assert not any(admits(wish, limit, running, waiting, last) for wish in Lane)


def test_with_one_slot_the_lanes_take_turns() -> None:
    waiting = Counter({SMALL: 3, LARGE: 3})
    assert admits(LARGE, 1, Counter(), waiting, SMALL)
    assert not admits(SMALL, 1, Counter(), waiting, SMALL)
    assert admits(SMALL, 1, Counter(), Counter({SMALL: 3}), SMALL)


def test_bodies_of_unknown_size_are_large() -> None:
    assert (lane(None), lane(SMALL_BODY + 1), lane(SMALL_BODY), lane(0)) == (LARGE, LARGE, SMALL, SMALL)


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_no_more_than_the_limit_run_and_all_get_a_turn() -> None:
    throttle, lock = Throttle(3), threading.Lock()
    running, most, done = 0, 0, 0

    def work(wish: Lane) -> None:
        nonlocal running, most, done
        with throttle.acquire(wish):
            with lock:
                running += 1
                most = max(most, running)
            with lock:
                running -= 1
                done += 1

    for thread in [in_thread(partial(work, wish)) for wish in (LARGE, SMALL) * 50]:
        thread.join(10)
    assert (most <= 3, done) == (True, 100)


def test_thread_does_not_wait_for_itself_or_delay_others() -> None:
    throttle = Throttle(1)
    outer = throttle.acquire(LARGE)
    with throttle.acquire(LARGE), throttle.acquire(SMALL):
        outer.release()
        outer.release()
    thread = in_thread(lambda: throttle.acquire(SMALL).release())
    thread.join(10)
    assert not thread.is_alive()


def test_a_slot_is_given_back_from_another_thread() -> None:
    throttle = Throttle(1)
    slot = throttle.acquire(LARGE)
    in_thread(slot.release).join(10)
    throttle.acquire(LARGE).release()
    with throttle.acquire(LARGE):
        thread = in_thread(lambda: throttle.acquire(LARGE).release())
    thread.join(10)
    assert not thread.is_alive()


def test_an_interrupted_pause_gives_the_slot_back(clock: Clock) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    throttle = Throttle(1, clock=clock, sleep=interrupted)
    throttle.acquire(SMALL).refused(5.0)
    with pytest.raises(KeyboardInterrupt):
        throttle.acquire(SMALL)
    clock.now += 5.0
    in_thread(lambda: None).join()
    assert throttle.window.limit == 1


def test_small_requests_pass_while_large_bodies_are_held_up(registry: Simulator) -> None:
    registry.gate = threading.Event()
    throttle = Throttle(3)
    data = [bytes([seed]) * (SMALL_BODY + 1) for seed in range(5)]
    with Client(registry.url, throttle=throttle) as client:
        threads = [in_thread(partial(upload, client, one)) for one in data]
        while registry.count("POST") < 5:
            assert client.blob_size("app", digest_of(b"")) is None
        for _ in range(20):
            assert client.blob_size("app", digest_of(b"")) is None
        assert not registry.content
        registry.gate.set()
        for thread in threads:
            thread.join(20)
    assert set(registry.content) == {digest_of(one) for one in data}


def upload(client: Client, data: bytes) -> None:
    client.put_blob("app", Descriptor("x", digest_of(data), len(data)), iter([data]))


@pytest.mark.fault(35)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_stops_everyone_and_the_limit_falls(
    registry: Simulator, client: Client, clock: Clock, status: int
) -> None:
    """429 with Retry-After → everybody waits that long."""
    registry.faults = [Fault("GET", "/v2/", status, times=2, retry_after="3")]
    client.ping()
    assert clock.slept == [3.0, 3.0]


@pytest.mark.fault(35)
def test_a_date_is_obeyed_within_reason(registry: Simulator, client: Client, clock: Clock) -> None:
    """Retry-After as a date, also one far away → obeyed up to a limit."""
    registry.faults = [Fault("GET", "/v2/", 429, retry_after="Fri, 31 Dec 2100 23:59:59 GMT")]
    client.ping()
    assert clock.slept == [30.0]


@pytest.mark.fault(35)
@pytest.mark.parametrize("said", ["", "0", "Fri, 31 Dec 1999 23:59:59 GMT"])
def test_a_busy_registry_that_names_no_time_gets_more_and_more(
    registry: Simulator, client: Client, clock: Clock, said: str
) -> None:
    """429 without a time, or with one that is over → pauses double, and end with an error."""
    registry.faults = [Fault("GET", "/v2/", 429, times=7, retry_after=said)]
    client.ping()
    assert clock.slept == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8])
    registry.faults = [Fault("GET", "/v2/", 429, times=99)]
    with pytest.raises(RegistryError, match="refused"):
        client.ping()


def test_clients_of_one_host_share_what_it_taught_them(registry: Simulator, clock: Clock) -> None:
    throttle = Throttle(8, clock=clock, sleep=clock.sleep)
    with Client(registry.url, throttle=throttle) as one, Client(registry.url, throttle=throttle) as other:
        registry.faults = [Fault("GET", "/v2/", 429, retry_after="2")]
        one.ping()
        assert throttle.window.limit == 5  # halved, and one more after the calm
        registry.faults = [Fault("GET", "/v2/", 503, retry_after="2")]
        other.ping()
        assert throttle.window.limit == 3
        for _ in range(9):
            clock.now += CALM
            one.ping()
    assert throttle.window.limit == 8
