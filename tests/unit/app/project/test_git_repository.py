"""The address of a repository: what it means, and what is refused: accounts and unprotected protocols."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from click.testing import CliRunner

from sandbox.app import context
from sandbox.app.project.git_repository import Repository
from sandbox.cli import log, signals
from sandbox.cli.up import up as command
from sandbox.errors import UsageError
from sandbox.system import sandbox_lock
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
        ("file:///srv/a@b/demo", "file:///srv/a@b/demo", "demo"),
        ("http://127.0.0.1:8080/demo", "http://127.0.0.1:8080/demo", "demo"),
        ("git://localhost/demo", "git://localhost/demo", "demo"),
        ("file:///srv/a%20b/demo#feature/ü:my folder", "file:///srv/a%20b/demo", "demo"),
    ],
)
def test_address_is_taken_apart(source: str, url: str, name: str) -> None:
    found = parsed(source)
    assert (found.url, found.name) == (url, name)


@pytest.mark.security(10)
@pytest.mark.parametrize(
    "source", ["http://git.example.com/x.git", "git://10.0.0.1/x", "http://localhost.example.com/x"]
)
def test_unprotected_protocol_to_another_machine_is_refused(source: str) -> None:
    """--from http:// or git:// of another machine → refused: what is fetched could be changed on the way."""
    with pytest.raises(UsageError, match="fetched unencrypted") as caught:
        Repository.parse(source)
    assert "https://" in caught.value.fix


@pytest.mark.security(6)
@pytest.mark.parametrize(
    "source",
    [ACCOUNT, "ssh://git:canary@git.example.com/demo", "https://canary@git.example.com/demo", "https://me:can@ary@x/y"],
)
def test_account_in_an_address_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """`up --from https://me:token@…` → refused, and the token is in no output, no log, no file of the state."""
    monkeypatch.setattr(signals, "catch", lambda *_, **__: None)
    for name in ("handlers", "propagate"):  # put back afterwards
        monkeypatch.setattr(logging.getLogger("sandbox"), name, getattr(logging.getLogger("sandbox"), name))
    argv = ["--from", f"{source}#main"]
    monkeypatch.setattr("sys.argv", ["sandbox", "up", *argv])
    ran = CliRunner().invoke(command, argv, obj=False, standalone_mode=False)
    for handler in logging.getLogger("sandbox").handlers:
        handler.close()
    assert isinstance(ran.exception, UsageError) and "has an account in it" in ran.exception.brief
    with sandbox_lock.take(tmp_path / "lock", log.command_line(), seconds=0, waits=lambda _: None):
        holder = json.loads((tmp_path / "lock" / sandbox_lock.RECORD).read_text())["command"]
    kept = [path.read_text(errors="replace") for path in context.home().state.rglob("*") if path.is_file()]
    for text in (*kept, holder, ran.output, str(ran.exception), ran.exception.fix):
        assert not any(part in text for part in ("canary", "can@ary"))


def test_address_that_is_not_valid_is_refused() -> None:
    with pytest.raises(UsageError, match="is not valid"):
        Repository.parse("https://[x/y")


def test_commit_is_told_among_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    origin = made(tmp_path / "origin", {"a": "1"})
    commit = git(origin, "rev-parse", "HEAD").strip()
    monkeypatch.setenv("GIT_TRACE", "1")
    assert parsed(f"file://{origin}").clone(tmp_path / "into") == commit
