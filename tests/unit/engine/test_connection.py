"""An engine that is reached over TCP is asked by the client library, and gives the same answers and errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox.engine import Engine, EngineError, connection, engine_limits
from sandbox.errors import MissingTool
from tests.support.engine_port import certificate
from tests.support.fakes import FakeEngine
from tests.support.http_server import Handler, answering

ANSWERS: dict[str, tuple[int, object]] = {
    "/_ping": (200, "OK"),
    "/v1.44/info": (200, {"ServerVersion": "29.0.0"}),
    "/v1.44/volumes/data": (200, {"Labels": {"a": "b"}}),
    "/v1.44/volumes/broken": (500, {"message": "the disk is full"}),
}


class Server(Handler):
    version = "1.44"

    def do_GET(self) -> None:
        status, answer = ANSWERS.get(self.path, (404, {"message": "there is none"}))
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.reply(status, content, {"Api-Version": self.version})


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    with answering(Server) as server:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
        connected = Engine.connect()
        yield connected
        connected._client.close()


def test_engine_over_tcp_answers_as_on_a_socket(engine: Engine) -> None:
    assert Engine.connect() is engine
    facts = engine.facts()
    assert (facts.version, facts.api, facts.local) == ("29.0.0", "1.44", False)
    assert engine.volume_labels("data") == {"a": "b"}
    assert engine.volume_labels("none") is None
    assert engine.container("none") is None
    with pytest.raises(EngineError) as caught:
        engine.volume_labels("broken")
    assert caught.value.details == "the disk is full"


def test_engine_by_tls_is_checked_against_its_own_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DOCKER_CERT_PATH, whatever the company's variables for other servers say."""
    context = certificate(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    certificate(other)
    with answering(Server, context) as server:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
        monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other / "ca.pem"))
        assert Engine.connect().facts().version == "29.0.0"
        monkeypatch.setenv("DOCKER_CERT_PATH", str(other))
        connection._connections.clear()
        with pytest.raises(MissingTool, match="no Docker Engine answers"):
            Engine.connect()


@pytest.mark.fault(60)
@pytest.mark.parametrize(
    ("url", "verify", "fix"),
    [
        ("unix:///nowhere.sock", "", ""),
        ("garbage", "", "tcp://HOST:PORT"),
        ("npipe:////./pipe/docker", "", "tcp://HOST:PORT"),
        ("tcp://a..b:2375", "", "tcp://HOST:PORT"),
        ("tcp://127.0.0.1:1", "1", "DOCKER_CERT_PATH"),
        ("ssh://me@build.example.com", "", "unset DOCKER_HOST"),  # the package for SSH is missing
    ],
)
def test_engine_that_is_not_reached_has_a_fix(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, verify: str, fix: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", url)
    monkeypatch.delattr("docker.api.client.SSHHTTPAdapter", raising=False)
    if verify:
        monkeypatch.setenv("DOCKER_TLS_VERIFY", verify)
        monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    with pytest.raises(MissingTool) as caught:
        Engine.connect()
    assert caught.value.id == "engine-unreachable" and fix in caught.value.fix
    assert ("paramiko" in caught.value.details) is url.startswith("ssh:")


@pytest.mark.parametrize(("version", "body"), [("v1.x", "OK"), ("", b"<html>"), ("", [1]), ("", {})])
def test_server_that_is_no_engine_is_told(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, version: str, body: object
) -> None:
    connection._connections.clear()
    monkeypatch.setattr(Server, "version", version)
    monkeypatch.setitem(ANSWERS, "/version", (200, body))
    with pytest.raises(MissingTool, match="no Docker Engine answers") as caught:
        Engine.connect()
    assert "another server answers" in caught.value.details


@pytest.mark.fault(4)
@pytest.mark.parametrize("info", [None, [], {"a": 1}])
def test_engine_that_says_nothing_of_itself_is_an_error(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, info: object
) -> None:
    """A server that answers like an engine, but not on what it is → an error that says so."""
    monkeypatch.setitem(ANSWERS, "/v1.44/info", (200, info))
    with pytest.raises(EngineError) as caught:
        engine.facts()
    assert caught.value.details == "the answer to `docker info` is not a Docker Engine's"


@pytest.mark.fault(61)
@pytest.mark.parametrize(
    ("facts", "id", "shown"),
    [
        ({"rootless": True, "cgroup_version": 1}, "engine-rootless", "Delegate=yes"),
        ({"rootless": True, "limits": False}, "engine-rootless", "Delegate=yes"),
        ({"podman": True, "rootless": True, "version": "5.2.0"}, "engine-podman", "Podman 5.2.0"),
        ({"podman": True, "version": "4.2.1"}, "engine-podman", "Podman 4.2.1"),
        ({"podman": True, "version": "4.3.1"}, "", ""),
        ({"rootless": True, "limits": True}, "", ""),
        ({"cgroup_version": 1, "limits": False}, "", ""),
    ],
)
def test_engine_that_cannot_run_a_cluster_is_refused(facts: dict[str, Any], id: str, shown: str) -> None:
    """Podman or a rootless engine without what a cluster needs → `up` and the doctor refuse it at once."""
    refusal = engine_limits.refusal(replace(FakeEngine().facts(), **facts))
    assert (refusal.id if refusal else "") == id
    assert refusal is None or shown in f"{refusal.brief} {refusal.fix}"
