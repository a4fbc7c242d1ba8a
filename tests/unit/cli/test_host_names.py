"""`sandbox hosts` against a hosts file of the test's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandbox.app import context
from sandbox.app.views import overview, resolvable_names
from sandbox.app.views.overview import AnsweredHosts
from sandbox.engine import Engine
from sandbox.errors import MissingTool, SandboxError
from sandbox.system import hosts_file
from tests.support.fakes import FakeEngine
from tests.unit.cli.test_main import run

BEFORE = b"127.0.0.1 localhost\n# gr\xfc\xdf\r\n"  # not UTF-8, and an end of line as on Windows
LINES = "127.0.0.1 app.demo.sandbox.localhost  # sandbox: demo\n127.0.0.1 shop.example  # sandbox: demo\n"
LINE, *_ = LINES.splitlines()


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hosts file of a machine whose user may write it, with the sandbox `demo` up."""
    context.home().sandbox("demo").folder.mkdir(parents=True)
    file = tmp_path / "hosts"
    file.write_bytes(BEFORE)
    monkeypatch.setattr(hosts_file, "HOSTS", file)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    found = AnsweredHosts(("app.demo.sandbox.localhost", "shop.example"), "127.0.0.1", others=("shop.example",))
    monkeypatch.setattr(overview, "answered_hosts", lambda name: found)
    return file


def test_names_are_added_and_removed(hosts: Path, tmp_path: Path) -> None:
    ran = run("hosts", "install", "-n", "demo", cwd=tmp_path)
    assert ran.code == 2 and "error[consent]" in ran.stderr
    ran = run("hosts", "install", "-n", "demo", "--dry-run", cwd=tmp_path)
    assert ran.code == 0 and f"+ {LINE}" in ran.stdout and "$ cp FILE" in ran.stdout
    assert "note: not of the sandbox's domain" in ran.stdout and ran.stdout.count("shop.example") == 2
    assert hosts.read_bytes() == BEFORE
    ran = run("hosts", "install", "-n", "demo", "--yes", cwd=tmp_path)
    assert (ran.code, hosts.read_bytes()) == (0, BEFORE + LINES.encode())
    assert f"+ {LINE}" in ran.stderr and "no wildcards" in ran.stderr
    assert "nothing to change" in run("hosts", "install", "-n", "demo", "--yes", cwd=tmp_path).stderr
    ran = run("hosts", "uninstall", "--yes", cwd=tmp_path)
    assert (ran.code, hosts.read_bytes()) == (0, BEFORE)
    assert f"- {LINE}" in ran.stderr


def test_file_is_left_alone_without_sandbox_or_sudo_or_after_another_change(
    hosts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "connect", staticmethod(FakeEngine))
    with pytest.raises(SandboxError, match="there is no sandbox 'nosuch'"):
        resolvable_names.install("nosuch")
    planned = resolvable_names.install("demo")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(hosts.parent))
    with pytest.raises(MissingTool) as caught:
        resolvable_names.perform(planned, at_terminal=False)
    assert caught.value.fix == f"change {hosts} as shown above, as root" and hosts.read_bytes() == BEFORE
    hosts.write_text("127.0.0.1 other\n")
    with pytest.raises(SandboxError, match="changed meanwhile"):
        resolvable_names.perform(planned, at_terminal=False)
    assert hosts.read_text() == "127.0.0.1 other\n"
