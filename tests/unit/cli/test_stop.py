"""`sandbox stop` of what does not run."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from sandbox.app.core import Sandbox
from sandbox.cli import signals
from sandbox.cli.app import sandbox


def test_stop_of_an_unknown_sandbox_promises_no_start(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sandbox, "stop", lambda _: False)
    monkeypatch.setattr(signals, "catch", lambda *_, **__: None)
    monkeypatch.chdir(home)
    done = CliRunner().invoke(sandbox, ["stop", "nosuch"])
    assert done.exit_code == 0
    assert done.stderr == "there is no sandbox 'nosuch'; list all with: sandbox list\n"
