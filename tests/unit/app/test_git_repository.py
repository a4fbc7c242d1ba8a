"""The address of a repository: what it means, that its account stays hidden, and which protocols are refused."""

from __future__ import annotations

import base64
import json
import logging
import os
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from sandbox.app import context
from sandbox.app.git_repository import Repository
from sandbox.cli import log, signals
from sandbox.cli.up import up as command
from sandbox.errors import UsageError
from sandbox.system import sandbox_lock
from tests.support.http_server import Handler, answering
from tests.support.programs import make_program
from tests.support.repositories import git, made

ACCOUNT = "https://me:canary%21@git.example.com/team/demo.git"


def parsed(source: str) -> Repository:
    found = Repository.parse(source)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("source", "url", "name"),
    [
        ("https://git.example.com/team/demo.git#main:k8s", "https://git.example.com/team/demo.git", "demo"),
        ("git@git.example.com:team/demo.git", "git@git.example.com:team/demo.git", "demo"),
        ("git@git.example.com:demo", "git@git.example.com:demo", "demo"),
        ("ssh://git@git.example.com:2222/demo/", "ssh://git@git.example.com:2222/demo/", "demo"),
        ("ssh://git:canary@git.example.com/demo", "ssh://git@git.example.com/demo", "demo"),
        ("file:///srv/a@b/demo", "file:///srv/a@b/demo", "demo"),
        ("http://127.0.0.1:8080/demo", "http://127.0.0.1:8080/demo", "demo"),
        ("git://localhost/demo", "git://localhost/demo", "demo"),
        (ACCOUNT, "https://git.example.com/team/demo.git", "demo"),
        ("file:///srv/a%20b/demo#feature/ü:my folder", "file:///srv/a%20b/demo", "demo"),
        ("https://me:can@ary@git.example.com/demo", "https://git.example.com/demo", "demo"),
    ],
)
def test_address_is_taken_apart(source: str, url: str, name: str) -> None:
    found = parsed(source)
    assert (found.url, found.name) == (url, name)
    assert "canary" not in f"{found} {found!r} {found.url}"


@pytest.mark.security(10)
@pytest.mark.parametrize(
    "source", ["http://git.example.com/x.git", "git://10.0.0.1/x", "http://localhost.example.com/x"]
)
def test_unprotected_protocol_to_another_machine_is_refused(source: str) -> None:
    """--from http:// or git:// of another machine → refused: what is fetched could be changed on the way."""
    with pytest.raises(UsageError, match="fetched unencrypted") as caught:
        Repository.parse(source)
    assert "https://" in caught.value.fix


@pytest.mark.parametrize(
    "source", ["https://me:p%0aw@git.example.com/x", "https://me:p#w@git.example.com/x", "https://[x/y"]
)
def test_address_that_is_none_is_refused_without_its_account(source: str) -> None:
    with pytest.raises(UsageError) as caught:
        Repository.parse(source)
    assert "p%0aw" not in str(caught.value) and "me:p" not in str(caught.value)


@pytest.fixture
def fake_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git that writes down what it is called with, and clones nothing."""
    log = tmp_path / "argv"
    script = f'printf "%s\\n" "$@" >>{log}\necho "fatal: no $SANDBOX_GIT_USERNAME" >&2\nexit 128'
    program = make_program(tmp_path / "bin" / "git", script)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    return log


@pytest.mark.security(6)
def test_account_in_an_address_is_written_nowhere(
    fake_git: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`up --from https://me:token@…` → the token is in no argument of git, no output, no log, no file of the state."""
    monkeypatch.setattr(signals, "catch", lambda *_, **__: None)
    for name in ("handlers", "propagate"):  # put back afterwards
        monkeypatch.setattr(logging.getLogger("sandbox"), name, getattr(logging.getLogger("sandbox"), name))
    argv = ["--from", f"{ACCOUNT}#main"]
    monkeypatch.setattr("sys.argv", ["sandbox", "up", *argv])
    ran = CliRunner().invoke(command, argv, obj=False, standalone_mode=False)
    for handler in logging.getLogger("sandbox").handlers:
        handler.close()
    assert isinstance(ran.exception, UsageError) and "cannot be cloned" in ran.exception.brief
    with sandbox_lock.take(tmp_path / "lock", log.command_line(), seconds=0, waits=lambda _: None):
        holder = json.loads((tmp_path / "lock" / sandbox_lock.RECORD).read_text())["command"]
    kept = [path.read_text(errors="replace") for path in context.home().state.rglob("*") if path.is_file()]
    assert any("https://git.example.com/team/demo.git" in text for text in kept), "the log says what was fetched"
    assert "https://git.example.com/team/demo.git" in fake_git.read_text()
    for text in (*kept, fake_git.read_text(), holder, ran.output, str(ran.exception), ran.exception.fix):
        assert "canary" not in text


class _Asking(Handler):
    """A server that asks for an account, and writes down which it was given."""

    given: list[str]

    def do_GET(self) -> None:
        account = self.headers.get("Authorization", "")
        self.given.append(base64.b64decode(account.removeprefix("Basic ")).decode())
        self.reply(404 if account else 401, headers={"WWW-Authenticate": 'Basic realm="x"'})


def test_commit_is_told_among_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    origin = made(tmp_path / "origin", {"a": "1"})
    commit = git(origin, "rev-parse", "HEAD").strip()
    monkeypatch.setenv("GIT_TRACE", "1")
    assert parsed(f"file://{origin}").clone(tmp_path / "into") == commit


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    _Asking.given = []
    with answering(_Asking) as found:
        yield found


@pytest.mark.security(6)
def test_account_in_an_address_reaches_its_server(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    """The account of a URL with odd characters → the server is given it, by git's own way of asking for one."""
    repository = parsed(f"http://me:a%20%24b%22c@127.0.0.1:{server.server_port}/x.git")
    with pytest.raises(UsageError, match="cannot be cloned"):
        repository.clone(tmp_path / "into")
    assert _Asking.given[:2] == ["", 'me:a $b"c']
