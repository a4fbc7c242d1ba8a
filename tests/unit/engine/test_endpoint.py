"""Which engine is meant: the order of Docker's own client."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from sandbox.engine import endpoint
from sandbox.engine.connection import unreachable
from sandbox.engine.endpoint import Endpoint
from sandbox.errors import MissingTool


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a home folder of a user whose machine has no default socket."""
    monkeypatch.chdir(tmp_path)
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
def test_address_that_is_none_is_told(user: Path, url: str) -> None:
    with pytest.raises(MissingTool) as caught:
        endpoint.find({"DOCKER_HOST": url}, user)
    assert caught.value.details.startswith(url) and "unset DOCKER_HOST" in caught.value.fix
    context(user, "work", url)
    with pytest.raises(MissingTool) as caught:
        endpoint.find({"DOCKER_CONTEXT": "work"}, user)
    assert "the docker context work" in caught.value.brief


def test_context_variable_precedes_the_current_context(user: Path) -> None:
    context(user, "colima", "unix:///home/u/.colima/default/docker.sock")
    context(user, "work", "ssh://me@build")
    current(user, '{"currentContext": "work"}')
    assert endpoint.find({"DOCKER_CONTEXT": "colima"}, user).url == "unix:///home/u/.colima/default/docker.sock"
    assert endpoint.find({}, user) == Endpoint("ssh://me@build", "the docker context work")
    assert endpoint.find({"DOCKER_CONTEXT": "default"}, user).origin == "the default socket"


@pytest.mark.fault(1)
@pytest.mark.parametrize("by", ["DOCKER_CONTEXT", "currentContext"])
def test_context_that_does_not_exist_is_an_error(user: Path, by: str) -> None:
    """A misspelt context in DOCKER_CONTEXT or config.json → the error says where, and how to list them."""
    current(user, json.dumps({by: "colmia"}))
    with pytest.raises(MissingTool, match="no docker context 'colmia'") as caught:
        endpoint.find({by: "colmia"}, user)
    assert (caught.value.id, "docker context ls" in caught.value.fix) == ("engine-context", True)


@pytest.mark.parametrize("content", ["{", "[]", '{"Endpoints": null}'])
def test_context_that_cannot_be_read_is_an_error(user: Path, content: str) -> None:
    context(user, "odd", "unix:///x")
    (path,) = user.glob(".docker/contexts/meta/*/meta.json")
    path.write_text(content, encoding="utf-8")
    with pytest.raises(MissingTool, match="cannot be read"):
        endpoint.find({"DOCKER_CONTEXT": "odd"}, user)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"currentContext": null}'])
def test_config_without_a_context_means_the_default(user: Path, content: str) -> None:
    current(user, content)
    assert endpoint.find({}, user) == Endpoint(f"unix://{endpoint.DEFAULT}", "the default socket")
    (user / ".docker" / "config.json").unlink()
    os.mkfifo(user / ".docker" / "config.json")
    assert endpoint.find({}, user).origin == "the default socket"


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
