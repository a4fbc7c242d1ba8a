"""Which engine is meant, in the order of Docker's own client; how it is reached, its limits and its errors."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from docker.errors import APIError
from docker.utils.json_stream import json_stream

from sandbox.engine import Engine, EngineError, connection, endpoint, engine_limits
from sandbox.engine.base import EngineGone, translated
from sandbox.engine.connection import unreachable
from sandbox.engine.endpoint import Endpoint
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


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    return Engine(Endpoint("unix:///nowhere.sock", "DOCKER_HOST"))


def test_engine_that_ends_within_an_answer_went_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine is restarted while it pulls, makes a network or is waited for → that it went away, in words."""
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("docker.sock")
        listening.listen()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
        place = Endpoint(f"unix://{tmp_path}/docker.sock", "DOCKER_HOST")
        calls: dict[str, Callable[[], object]] = {
            "Transfer-Encoding: chunked\r\n\r\n10\r\n{": lambda: Engine(place).pull("busybox:1"),
            "Content-Length: 0\r\n\r\n": lambda: Engine(place).create_network("net", {}),
            "Content-Length: 1\r\n\r\n{": lambda: Engine(place).wait("box"),
        }
        for answer, call in calls.items():
            answering = threading.Thread(target=_answer, args=(listening, answer))
            answering.start()
            with pytest.raises(EngineGone, match="the Docker Engine went away"):
                call()
            answering.join(30)


def _answer(listening: socket.socket, answer: str) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.recv(1 << 16)
        connection.sendall(f"HTTP/1.1 200 OK\r\n{answer}".encode())


def test_files_of_this_machine_are_not_the_engine(absent: Engine, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        absent.load(tmp_path / "gone.tar")
    with pytest.raises(FileNotFoundError):
        absent.copy_file("node", tmp_path / "gone.tar", PurePosixPath("/"))
    for number in (errno.ENOSPC, errno.EMFILE):
        with pytest.raises(OSError, match=os.strerror(number)), translated("saving"):
            raise OSError(number, os.strerror(number))


@pytest.mark.fault(13)
@pytest.mark.parametrize(
    ("said", "fix"),
    [
        ("userland proxy: listen tcp4 127.0.0.1:36309: bind: address already in use", "ss -ltnp 'sport = :36309'"),
        ("endpoint demo (7582): Bind for 127.0.0.1:36309 failed: port is already allocated", "'sport = :36309'"),
        ("rootlessport listen tcp [::1]:36309: bind: address already in use", "'sport = :36309'"),
        ("write /x: no space left on device", "docker system df"),
    ],
)
def test_error_of_the_engine_has_a_fix_for_a_taken_port_or_a_full_disk(said: str, fix: str) -> None:
    """Another program takes the API server's port of a stopped node → the engine's error, and how to see whose."""
    with pytest.raises(EngineError) as caught, translated("starting container demo"):
        raise APIError(said)
    assert caught.value.details == said and fix in caught.value.fix
    with pytest.raises(EngineError, match="pulling busybox failed"), translated("pulling busybox"):
        list(json_stream(iter(["<html>"])))


def test_unreadable_docker_account_is_reported(absent: Engine, isolated_home: Path) -> None:
    config = isolated_home / ".docker" / "config.json"
    config.parent.mkdir()
    config.write_text('{"auths": {"r.example": {"auth": "bm8gY29sb24="}}}')
    with pytest.raises(MissingTool) as caught, absent.api("building"):
        pass
    assert caught.value.id == "engine-unreachable" and "config.json" in caught.value.fix


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a home folder of a user whose machine has no default socket."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(endpoint, "DEFAULT", tmp_path / "default.sock")
    return tmp_path


def context(home: Path, name: str, host: str) -> None:
    folder = home / ".docker" / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    content = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host}}}
    (folder / "meta.json").write_text(json.dumps(content), encoding="utf-8")


def current(home: Path, content: str) -> None:
    (home / ".docker").mkdir(exist_ok=True)
    (home / ".docker" / "config.json").write_text(content, encoding="utf-8")


@pytest.mark.parametrize("url", ["ssh://host:99999", "ssh://[bad", "tcp://127.0.0.1:abc", "http://[::1"])
def test_malformed_engine_address_is_reported(user: Path, url: str) -> None:
    with pytest.raises(MissingTool) as caught:
        endpoint.find({"DOCKER_HOST": url})
    assert caught.value.details.startswith(url) and "unset DOCKER_HOST" in caught.value.fix
    context(user, "work", url)
    with pytest.raises(MissingTool) as caught:
        endpoint.find({"DOCKER_CONTEXT": "work"})
    assert "the docker context work" in caught.value.brief


def test_docker_context_variable_precedes_the_current_context(user: Path) -> None:
    context(user, "colima", "unix:///home/u/.colima/default/docker.sock")
    context(user, "work", "ssh://me@build")
    current(user, '{"currentContext": "work"}')
    assert endpoint.find({"DOCKER_CONTEXT": "colima"}).url == "unix:///home/u/.colima/default/docker.sock"
    assert endpoint.find({}) == Endpoint("ssh://me@build", "the docker context work")
    assert endpoint.find({"DOCKER_CONTEXT": "default"}).origin == "the default socket"


@pytest.mark.fault(1)
@pytest.mark.parametrize("by", ["DOCKER_CONTEXT", "currentContext"])
def test_missing_docker_context_is_an_error(user: Path, by: str) -> None:
    """A misspelt context in DOCKER_CONTEXT or config.json → the error says where, and how to list them."""
    current(user, json.dumps({by: "colmia"}))
    with pytest.raises(MissingTool, match="no docker context 'colmia'") as caught:
        endpoint.find({by: "colmia"})
    assert (caught.value.id, "docker context ls" in caught.value.fix) == ("engine-context", True)


@pytest.mark.parametrize("content", ["{", "[]", '{"Endpoints": null}'])
def test_unreadable_docker_context_is_an_error(user: Path, content: str) -> None:
    context(user, "odd", "unix:///x")
    (path,) = user.glob(".docker/contexts/meta/*/meta.json")
    path.write_text(content, encoding="utf-8")
    with pytest.raises(MissingTool, match="cannot be read"):
        endpoint.find({"DOCKER_CONTEXT": "odd"})


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"currentContext": null}'])
def test_docker_config_without_a_context_means_the_default_socket(user: Path, content: str) -> None:
    current(user, content)
    assert endpoint.find({}) == Endpoint(f"unix://{endpoint.DEFAULT}", "the default socket")
    (user / ".docker" / "config.json").unlink()
    os.mkfifo(user / ".docker" / "config.json")
    assert endpoint.find({}).origin == "the default socket"


@pytest.mark.fault(1)
@pytest.mark.parametrize(
    ("url", "fix"),
    [
        ("tcp://build:2375", "start the engine on build, or use this machine's: unset DOCKER_HOST"),
        ("unix:///var/run/docker.sock", "sudo systemctl start docker"),
    ],
)
def test_engine_that_is_off_has_a_fix(url: str, fix: str) -> None:
    """An engine of this machine or of another that is off → how it is started."""
    error = unreachable("Connection refused", Endpoint(url, "DOCKER_HOST"))
    assert fix in error.fix and "DOCKER_HOST" in error.details
