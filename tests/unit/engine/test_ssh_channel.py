"""An engine over SSH: an ssh client that speaks for it, or says why it cannot."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sandbox.engine import Engine, ssh_channel
from sandbox.engine.endpoint import Endpoint
from sandbox.errors import MissingTool
from tests.support.programs import make_program

# Answers requests until its input ends, and notes the words that it was called by.
CLIENT = f"""#!{sys.executable}
import json, os, sys
with open({{noted!r}}, "a") as file:
    print(json.dumps(sys.argv[1:]), file=file)
while request := os.read(0, 4096):
    while b"\\r\\n\\r\\n" not in request:
        request += os.read(0, 4096)
    path = request.split()[1].decode()
    body = json.dumps({{{{"ServerVersion": "29.0.0"}}}} if path.endswith("/info") else "OK").encode()
    head = f"HTTP/1.1 200 OK\\r\\nApi-Version: 1.44\\r\\nContent-Length: {{{{len(body)}}}}\\r\\n\\r\\n"
    os.write(1, head.encode() + body)
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    make_program(folder / "ssh", script)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("DOCKER_HOST", "ssh://me@build.example.com:2222")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ssh://build", ("--", "build", "docker", "system", "dial-stdio")),
        ("ssh://me@build:2222", ("-l", "me", "-p", "2222", "--", "build", "docker", "system", "dial-stdio")),
        (
            "ssh://build/run/user/1000/docker.sock",
            ("--", "build", "docker", "--host", "unix:///run/user/1000/docker.sock", "system", "dial-stdio"),
        ),
        ("ssh://-oProxyCommand=x", ("--", "-oproxycommand=x", "docker", "system", "dial-stdio")),
    ],
)
def test_command_is_that_of_dockers_own_client(url: str, words: tuple[str, ...]) -> None:
    said = ssh_channel.command(Endpoint(url, "DOCKER_HOST"))
    assert said[0] == "ssh" and "BatchMode=yes" in said and said[-len(words) :] == words


def test_engine_answers_through_the_ssh_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, CLIENT.format(noted=str(tmp_path / "noted")))
    facts = Engine.connect().facts()
    assert (facts.version, facts.api, facts.local) == ("29.0.0", "1.44", False)
    assert "build.example.com" in (tmp_path / "noted").read_text()


@pytest.mark.fault(60)
def test_words_of_ssh_are_in_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DOCKER_HOST=ssh:// whose host refuses the key → ssh's words and the command to try, and nothing of groups."""
    install(tmp_path, monkeypatch, "#!/bin/sh\necho 'me@build: Permission denied (publickey).' >&2\nexit 255\n")
    with pytest.raises(MissingTool, match="over SSH on build") as caught:
        Engine.connect()
    assert "Permission denied (publickey)" in caught.value.details and "DOCKER_HOST" in caught.value.details
    assert "-p 2222 -- build.example.com docker" in caught.value.fix and "group" not in caught.value.fix


def test_machine_without_an_ssh_client_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", "ssh://build")
    with pytest.raises(MissingTool, match="ssh is not installed"):
        Engine.connect()
