"""Commands in containers, over a WebSocket that answers as an API server does."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from websockets.sync.server import ServerConnection, serve
from websockets.typing import Subprotocol

from sandbox.kube.api import Cluster, ClusterError
from sandbox.kube.container_exec import CLOSE, ERROR, PROTOCOL, STDERR, STDIN, STDOUT, Executed, execute
from sandbox.names import Names
from tests.support import api_server


@contextmanager
def answering(tmp_path: Path, answer: Callable[[ServerConnection], None]) -> Iterator[Cluster]:
    with serve(answer, "127.0.0.1", 0, subprotocols=[Subprotocol(PROTOCOL)]) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Cluster(api_server.kubeconfig(tmp_path / "kubeconfig", server.socket.getsockname()[1]))
        finally:
            server.shutdown()
            thread.join()


def run(cluster: Cluster, *argv: str, stdin: bytes = b"") -> Executed:
    return execute(cluster, pod="web-1", namespace="shop", container="web", argv=argv, stdin=stdin)


def test_input_goes_in_and_output_and_complaints_come_back(tmp_path: Path) -> None:
    asked: list[str] = []

    def cat(socket: ServerConnection) -> None:
        assert socket.request is not None
        asked.append(socket.request.path)
        asked.append(socket.request.headers["Authorization"])
        data = b""
        while (message := socket.recv()) != bytes([CLOSE, STDIN]):
            assert isinstance(message, bytes)
            assert message[0] == STDIN
            data += message[1:]
        for start in range(0, len(data), 1000):
            socket.send(bytes([STDOUT]) + data[start : start + 1000])
        socket.send(bytes([STDERR]) + b"careful\n")
        socket.send(bytes([ERROR]) + b'{"status": "Success"}')

    content = bytes(range(256)) * 1000
    with answering(tmp_path, cat) as cluster:
        assert run(cluster, "cat", "a b", stdin=content) == Executed(0, content, "careful")
    address = urlsplit(asked[0])
    assert address.path == "/api/v1/namespaces/shop/pods/web-1/exec"
    assert parse_qs(address.query)["command"] == ["cat", "a b"]
    assert asked[1] == "Bearer secret"


def test_command_that_fails_has_its_exit_code_or_the_reason(tmp_path: Path) -> None:
    code = {"causes": [{"reason": "ExitCode", "message": "7"}]}
    answers = [{"status": "Failure", "details": code}, {"status": "Failure", "message": "no such container"}]

    def respond(socket: ServerConnection) -> None:
        if answers:
            socket.send(bytes([ERROR]) + json.dumps(answers.pop(0)).encode())

    with answering(tmp_path, respond) as cluster:
        assert run(cluster, "false").status == 7
        for details in ("no such container", "the connection ended before the command did"):
            with pytest.raises(ClusterError) as failed:
                run(cluster, "sh")
            assert details in failed.value.details


@pytest.mark.usefixtures("server")
def test_server_without_websockets_is_an_error(names: Names) -> None:
    with pytest.raises(ClusterError, match="sh cannot be run in shop/web-1"):
        run(Cluster(names.kubeconfig), "sh")
