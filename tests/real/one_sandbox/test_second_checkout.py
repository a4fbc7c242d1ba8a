"""A second folder with the same spec does not change the first folder's sandbox by mistake, also if it was moved."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sandbox.engine import Engine
from sandbox.names import LABEL
from tests.real.application import Application
from tests.real.machine import CommandLine

pytestmark = pytest.mark.real


@pytest.fixture
def second(up: Application, tmp_path: Path) -> CommandLine:
    """The command line in a copy of the project, as a worktree is one."""
    folder = shutil.copytree(up.folder, tmp_path / up.folder.name)
    return CommandLine(up.command.env, folder)


def containers(engine: Engine, up: Application) -> set[tuple[str, bool]]:
    return {(one.id, one.running) for one in engine.containers(f"{LABEL}={up.name}")}


@pytest.mark.security(17)
@pytest.mark.parametrize("command", ["down --purge", "stop", "push-images --prune", "images gc", "certs renew"])
def test_second_checkout_changes_nothing_unasked(
    engine: Engine, up: Application, second: CommandLine, command: str
) -> None:
    """`down` and others in a second checkout, without a terminal → refused; the first one's sandbox runs on."""
    before = containers(engine, up)
    ran = second(*command.split(), status=2)
    assert "was brought up from elsewhere" in ran.err and str(up.folder / "sandbox.yaml") in ran.err
    assert containers(engine, up) == before
    assert up.page() == "first"
