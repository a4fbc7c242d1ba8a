"""Answers of an API server that are kept for a while, and a server that is busy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from sandbox.kube import api_connection
from sandbox.kube.api_connection import Connection
from sandbox.kube.api_transport import Answer, Transport

PODS, NODES = ("/api/v1/pods", "*/*"), ("/api/v1/nodes", "*/*")


class Server:
    """An API server that answers with the number of the request; it refuses the first `busy` of them."""

    def __init__(self, busy: int = 0) -> None:
        self.asked: list[str] = []
        self.busy = busy

    def request(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> Answer:
        self.asked.append(path)
        return 429 if len(self.asked) <= self.busy else 200, b"%d" % len(self.asked)


def of(server: Server) -> Connection:
    return Connection(cast("Transport", server))


def test_read_is_sent_once_while_answers_are_kept() -> None:
    api = of(Server())
    with api.keeping():
        with api.keeping():
            assert [api.read(PODS) for _ in range(2)] == [(200, b"1")] * 2
        assert (api.read(PODS), api.read(NODES)) == ((200, b"1"), (200, b"2"))
    assert api.read(PODS) == (200, b"3")


def test_busy_server_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("sandbox.system.interruption.pause", slept.append)
    assert of(Server(busy=2)).read(PODS) == (200, b"3")
    assert slept == [api_connection.PAUSE] * 2


def test_answers_are_kept_for_nothing_without_a_kubeconfig(tmp_path: Path) -> None:
    with api_connection.keeping(tmp_path / "none"):
        pass
