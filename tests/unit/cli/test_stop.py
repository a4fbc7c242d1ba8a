"""What `sandbox stop` and `sandbox pause` say at the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sandbox.app.core import Sandbox
from sandbox.cli.app import sandbox
from sandbox.errors import UsageError
from tests.support import in_process, published_json


@pytest.mark.parametrize("command", ["stop", "pause"])
def test_unknown_sandbox_is_refused(command: str, isolated_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sandbox, command, lambda _: False)
    in_process.quiet(monkeypatch)
    monkeypatch.chdir(isolated_home)
    refused = CliRunner().invoke(sandbox, [command, "-n", "nosuch"]).exception
    assert isinstance(refused, UsageError) and refused.id == "no-sandbox"
    assert (refused.brief, refused.fix[:8]) == ("there is no sandbox 'nosuch'", "list all")


@pytest.mark.parametrize(("command", "last"), [("stop", "start it again with"), ("pause", "it wakes when it is used")])
def test_the_last_line_has_the_form_that_progress_asks_for(
    command: str, last: str, isolated_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sandbox, command, lambda _: True)
    in_process.quiet(monkeypatch)
    monkeypatch.chdir(isolated_home)
    said = json.loads(CliRunner().invoke(sandbox, [command, "-n", "shop", "--progress", "json"]).stderr)
    published_json.check("event", said)
    assert (said["event"], said["detail"].startswith(last)) == ("note", True)
    assert CliRunner().invoke(sandbox, [command, "-n", "shop", "-q"]).stderr == ""
