"""`sandbox upgrade`: what it takes for a mistake."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from sandbox.cli.upgrade import upgrade
from sandbox.errors import UsageError
from tests.support import in_process


@pytest.mark.parametrize("version", ["v1.36.3", "1.36"])
def test_version_in_place_of_a_name_is_told(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    in_process.quiet(monkeypatch)
    with pytest.raises(UsageError, match="is a version") as caught:
        CliRunner().invoke(upgrade, [version], obj=False, catch_exceptions=False, standalone_mode=False)
    assert f"{{kubernetes: v{version.removeprefix('v')}}}" in caught.value.fix
