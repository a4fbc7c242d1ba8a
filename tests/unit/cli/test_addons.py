"""`sandbox addons`: what is refused before anything is looked at."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from sandbox.cli import environment
from sandbox.cli.commands import addons
from sandbox.errors import UsageError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a spec, no log file, and the test's own signals."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(environment, "start_log", lambda *, verbose: None)
    monkeypatch.setattr(environment, "catch_signals", lambda: None)


@pytest.mark.parametrize(
    ("addon", "said"),
    [
        ("metrics", "there is no addon 'metrics'"),
        ("gateway-api", "a part of the sandbox"),
        ("./mine", "mine/addon.yaml: no such file"),
        ("Not A Name", "must be the name of an addon"),
        ("~/mine", "'~' is not expanded"),
    ],
)
def test_what_is_no_addon_is_refused_without_an_engine(addon: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        CliRunner().invoke(addons.command, ["enable", addon], catch_exceptions=False, standalone_mode=False)
