"""Several checkouts of one project at once: each has its own name, domain, registry and page."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sandbox.app import context
from tests.real import machine
from tests.real.machine import CommandLine
from tests.real.served import Sandbox
from tests.support.repositories import committed, git, made

pytestmark = [pytest.mark.real, pytest.mark.nightly]

DEMO = Path(__file__).parents[2] / "fixtures" / "demos" / "web"
NAMES = ("wt", "wt-fix-login")


@pytest.mark.timeout(600)
def test_two_worktrees_of_the_demo_answer_at_hosts_of_their_own(tmp_path: Path) -> None:
    """The demo without a name, and its worktree with another page → both are up, and `down` removes its own only."""
    main, linked = tmp_path / "wt", tmp_path / "elsewhere"
    made(main, {"README.md": "the demo"})
    shutil.copytree(DEMO, main, dirs_exist_ok=True)
    spec = main / "sandbox.yaml"
    ports = machine.free_ports(443, 8443)
    text = spec.read_text().replace("name: demo\n", "").replace("domain:", "base_domain:")
    spec.write_text(text.replace("[443, 8443]", f"[{ports[0]}, {ports[1]}]"))
    committed(main, {})
    git(main, "worktree", "add", "-b", "fix/login", str(linked))
    (linked / "hello" / "index.html").write_text("the page of the branch\n")
    variables = {"KUBECONFIG": str(tmp_path / "kubeconfig")}
    commands = [CommandLine(variables, folder) for folder in (main, linked)]

    def page(name: str) -> str:
        served = Sandbox(context.home().sandbox(name), ports[0])
        return served.curl(f"hello.{name}.sandbox.localhost", "--max-time", "5")

    try:
        for command in commands:
            command("up")
        assert "the page of the branch" not in page(NAMES[0])
        assert "the page of the branch" in page(NAMES[1])
        listed = {one["name"]: one for one in json.loads(commands[0]("list", "-o", "json").out)}
        assert [listed[name]["branch"] for name in NAMES] == ["main", "fix/login"]
        assert all(listed[name]["memory"] for name in NAMES)
        commands[1]("down", "--purge")
        assert "200" in page(NAMES[0]).splitlines()[0]
        assert not context.home().sandbox(NAMES[1]).keys.exists()
    finally:
        for command in commands:
            command("down", "--purge", status=None)
