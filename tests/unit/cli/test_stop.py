"""What `sandbox stop` and `sandbox pause` say at the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sandbox.app.core import Sandbox
from sandbox.cli import signals
from sandbox.cli.app import sandbox
from tests.support import in_process, published_json


def test_stop_of_an_unknown_sandbox_promises_no_start(isolated_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sandbox, "stop", lambda _: False)
    monkeypatch.setattr(signals, "catch", lambda *_, **__: None)
    monkeypatch.chdir(isolated_home)
    done = CliRunner().invoke(sandbox, ["stop", "nosuch"])
    assert done.exit_code == 0
    assert done.stderr == "there is no sandbox 'nosuch'; list all with: sandbox list\n"


@pytest.mark.parametrize(("command", "last"), [("stop", "start it again with"), ("pause", "it wakes when it is used")])
def test_the_last_line_has_the_form_that_progress_asks_for(
    command: str, last: str, isolated_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sandbox, command, lambda _: True)
    in_process.quiet(monkeypatch)
    monkeypatch.chdir(isolated_home)
    said = json.loads(CliRunner().invoke(sandbox, [command, "shop", "--progress", "json"]).stderr)
    published_json.check("event", said)
    assert (said["event"], said["detail"].startswith(last)) == ("note", True)
    assert CliRunner().invoke(sandbox, [command, "shop", "-q"]).stderr == ""
