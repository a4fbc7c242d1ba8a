"""What tests of commands share."""

from __future__ import annotations

import pytest

from tests.support import in_process


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No log file, and the test's own signals."""
    in_process.quiet(monkeypatch)
