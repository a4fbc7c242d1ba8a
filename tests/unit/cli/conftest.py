"""What tests of commands share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import in_process


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No log file, the test's own signals, and a folder without a spec."""
    in_process.quiet(monkeypatch)
    monkeypatch.chdir(tmp_path)
