"""What `status`, `stop`, `pause` and `down` say, and the last words of `up`: a command that leads to its hosts."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import click
import pytest
from click.testing import CliRunner

from sandbox.app.core import Sandbox
from sandbox.app.views import overview
from sandbox.app.views.overview import Network
from sandbox.app.views.sandbox_status import SandboxStatus, StepState
from sandbox.cli import up
from sandbox.cli.app import sandbox
from sandbox.cli.options import Call
from sandbox.config.schema import ResolvedSpec
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


def _welcome(
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    *,
    ports: tuple[int, ...] = (8443,),
    own: bool = True,
    progress: str = "auto",
) -> None:
    """Print the words for a sandbox with one host."""
    found = SimpleNamespace(
        hosts=(host,),
        ports=ports,
        network=SimpleNamespace(open=False, urls=()),
        kubeconfig=Path("/kubeconfig"),
        registry="localhost:5001",
        context="sandbox-demo",
        root_certificate=Path("/root.crt"),
        notes=(),
        tried=host,
        urls=lambda one: (f"https://{one}:8443/",),
    )
    monkeypatch.setattr(overview, "addresses", lambda spec: found)
    spec = SimpleNamespace(name="demo", edge=SimpleNamespace(listen="0.0.0.0"), takes_https_ports=own)  # noqa: S104
    with click.Context(click.Command("up")):
        up.welcome(cast("ResolvedSpec", spec), Call(progress=progress))


@pytest.mark.parametrize(
    ("host", "there"),
    [("app.demo.sandbox.localhost", ""), ("app.example.com", " --resolve app.example.com:8443:127.0.0.1")],
)
def test_curl_to_try_asks_this_machine(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    host: str,
    there: str,
) -> None:
    _welcome(monkeypatch, host)
    assert f"try         curl --cacert /root.crt{there} https://{host}:8443/\n" in capsys.readouterr().out


def test_other_ports_of_a_host_are_named_even_443(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _welcome(monkeypatch, "app.demo.test", ports=(8443, 443, 9443))
    assert "https://app.demo.test:8443/   and :443   and :9443\n" in capsys.readouterr().out


def test_ingress_that_is_not_the_sandboxes_has_no_command_to_try(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _welcome(monkeypatch, "app.dev.team.example", own=False)
    said = capsys.readouterr().out
    assert "https://app.dev.team.example" in said and "\ntry " not in said and "\ntrust " not in said


def test_quiet_up_prints_no_addresses(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _welcome(monkeypatch, "app.demo.sandbox.localhost", progress="quiet")
    assert capsys.readouterr() == ("", "")
