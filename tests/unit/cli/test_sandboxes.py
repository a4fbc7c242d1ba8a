"""What `status`, `stop`, `pause` and `down` say of sandboxes that are there, and of names that no sandbox has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sandbox.app.core import Sandbox
from sandbox.app.views.overview import Network
from sandbox.app.views.sandbox_status import SandboxStatus, StepState
from sandbox.cli.app import sandbox
from sandbox.errors import UsageError
from tests.support import in_process, published_json


def state(spec: str, cluster: str) -> SandboxStatus:
    states = {"images": "ready", "spec": spec, "certificates": "ready", "cluster": cluster, "proxy": "unseen"}
    network = Network(open=False, urls=(), without_certificate=(), warning="")
    return SandboxStatus("demo", [StepState(name, name, state, "") for name, state in states.items()], network, ())


@pytest.mark.parametrize(("spec", "cluster", "exists"), [("absent", "absent", False), ("ready", "absent", True)])
def test_certificates_alone_are_no_sandbox(spec: str, cluster: str, exists: bool) -> None:
    """`down` keeps them."""
    assert state(spec, cluster).exists is exists


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


def test_down_of_a_name_that_no_sandbox_has_points_to_the_list(
    isolated_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sandbox, "down", lambda *_, **__: False)
    in_process.quiet(monkeypatch)
    monkeypatch.chdir(isolated_home)
    said = in_process.run(sandbox, "down", "nosuch").stderr
    assert said == "'nosuch' has nothing to remove; list all with: sandbox list\n"
