"""How long requests to the engine may take, which is a matter of the thread that makes them."""

from __future__ import annotations

import threading

import docker
import pytest

from sandbox.engine.base import LONG_TIMEOUT, Door

SHORT = 60


@pytest.fixture
def api() -> docker.APIClient:
    return docker.APIClient("unix:///nowhere.sock", version="1.41", timeout=SHORT)


def seconds(api: docker.APIClient, **request: int | None) -> int | None:
    """What the library gives a request that is made now."""
    found: int | None = api._set_request_timeout(dict(request))["timeout"]
    return found


class Client:
    def __init__(self, api: docker.APIClient) -> None:
        self.api = api


@pytest.mark.fault(4)
def test_long_calls_that_overlap_leave_others_their_timeout(api: docker.APIClient) -> None:
    """Two long calls in two threads, neither inside the other → later calls still end after a minute."""
    door = Door(Client(api))
    inside, leave = threading.Event(), threading.Event()
    seen: list[int | None] = []

    def other() -> None:
        with door.patient():
            inside.set()
            leave.wait(30)
            seen.append(seconds(api))
        seen.append(seconds(api))

    thread = threading.Thread(target=other)
    with door.patient():
        thread.start()
        assert inside.wait(30)
        assert seconds(api) == LONG_TIMEOUT
    assert seconds(api) == SHORT
    leave.set()
    thread.join(30)
    assert seen == [LONG_TIMEOUT, SHORT]
    assert seconds(api) == SHORT


def test_a_time_of_its_own_is_only_ever_lengthened(api: docker.APIClient) -> None:
    door = Door(Client(api))
    assert seconds(api, timeout=15) == 15
    with door.patient():
        assert seconds(api, timeout=70) == LONG_TIMEOUT
        assert seconds(api, timeout=None) is None
