"""What an API server is asked once for a while, and what it is asked ahead."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from sandbox.kube import api_connection
from sandbox.kube.api_connection import Connection
from sandbox.kube.api_transport import Answer, Read, Transport, Unanswered

PODS, NODES = ("/api/v1/pods", "*/*"), ("/api/v1/nodes", "*/*")
ANY_VERSION = "?resourceVersion=0"


class Server:
    """An API server that answers with the number of the request; `ahead` is how many of those at once it answers.

    Where it does not remember yet, it refuses to answer with any version; while it is `busy`, it refuses everything.
    """

    def __init__(self, ahead: int = 9, *, remembers: bool = True, busy: int = 0) -> None:
        self.asked: list[str] = []
        self.ahead = ahead
        self.remembers = remembers
        self.busy = busy
        self.answering = threading.Event()
        self.answering.set()
        self.reading = threading.Event()

    def request(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> Answer:
        self.asked.append(path)
        refused = len(self.asked) <= self.busy or (path.endswith("resourceVersion=0") and not self.remembers)
        return 429 if refused else 200, b"%d" % len(self.asked)

    def answers(self, reads: Iterable[Read], until: Callable[[], object]) -> Iterator[Answer]:
        until()
        self.reading.set()
        for number, (path, accept) in enumerate(reads):
            self.answering.wait(9)
            if number == self.ahead:
                raise Unanswered("it ended the connection")
            yield self.request("GET", path, {"Accept": accept}, None)


def of(server: Server) -> Connection:
    return Connection(cast("Transport", server))


def test_read_is_sent_once_in_a_glance_and_else_each_time() -> None:
    server = Server()
    api = of(server)
    with api.glance():
        assert [api.read(PODS) for _ in range(2)] == [(200, b"1")] * 2
        assert api.reads() == (PODS,)
    assert api.read(PODS) == (200, b"2") and not api.reads()


def test_answers_that_were_asked_ahead_are_used() -> None:
    server = Server()
    api = of(server)
    with api.glance():
        api.read_ahead([PODS, NODES])
        assert (api.read(NODES), api.read(PODS)) == ((200, b"2"), (200, b"1"))
        assert api.reads() == (NODES, PODS)
    assert server.asked == [f"{path}{ANY_VERSION}" for path in ("/api/v1/pods", "/api/v1/nodes")]


def test_answers_wait_until_the_first_is_wanted() -> None:
    server = Server()
    api = of(server)
    with api.glance():
        api.read_ahead([PODS])
        assert not server.reading.wait(0.1)
        assert api.read(PODS) == (200, b"1")
    assert server.reading.is_set()


def test_question_not_answered_ahead_is_asked_when_wanted() -> None:
    server = Server(ahead=1)
    api = of(server)
    with api.glance():
        api.read_ahead([PODS, NODES])
        assert (api.read(PODS), api.read(NODES)) == ((200, b"1"), (200, b"2"))


def test_read_waits_only_a_while_for_those_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_connection, "PATIENCE", 0.01)
    server = Server()
    server.answering.clear()
    api = of(server)
    with api.glance():
        api.read_ahead([PODS])
        assert api.read(PODS) == (200, b"1")
    server.answering.set()


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/api/v1/pods", "/api/v1/pods?resourceVersion=0"),
        ("/api/v1/pods?labelSelector=a", "/api/v1/pods?labelSelector=a&resourceVersion=0"),
        ("/api/v1/pods?limit=9", "/api/v1/pods?limit=9"),
    ],
)
def test_read_takes_any_version_in_a_glance_except_for_pages(path: str, sent: str) -> None:
    server = Server()
    api = of(server)
    with api.glance():
        api.read((path, "*/*"))
    api.read((path, "*/*"))
    assert server.asked == [sent, path]


@pytest.mark.parametrize("ahead", [True, False])
def test_read_of_what_a_server_does_not_remember_is_repeated(*, ahead: bool) -> None:
    server = Server(remembers=False)
    api = of(server)
    with api.glance():
        if ahead:
            api.read_ahead([PODS])
        assert api.read(PODS)[0] == 200
    assert server.asked[-1] == "/api/v1/pods"


@pytest.mark.parametrize(("busy", "status"), [(api_connection.TRIES - 1, 200), (api_connection.TRIES, 429)])
def test_busy_server_is_asked_again_a_few_times(monkeypatch: pytest.MonkeyPatch, busy: int, status: int) -> None:
    monkeypatch.setattr(api_connection, "PAUSE", 0.0)
    server = Server(busy=busy)
    assert of(server).read(PODS)[0] == status and len(server.asked) == api_connection.TRIES
    server = Server(busy=busy)
    assert of(server).send("DELETE", "/api/v1/pods/a", {}, None)[0] == status
    assert len(server.asked) == api_connection.TRIES


def test_nothing_is_read_ahead_outside_of_a_glance() -> None:
    server = Server()
    of(server).read_ahead([PODS])
    assert server.asked == []


@pytest.mark.parametrize("text", [None, "clusters: ["])
def test_glance_without_a_usable_kubeconfig_keeps_nothing(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "config"
    if text:
        path.write_text(text)
    with api_connection.glance(path):
        assert api_connection.find(path) is None
