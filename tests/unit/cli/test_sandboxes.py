"""What `status`, `stop`, `pause`, `down` and `snapshot list` say, `up` at its end, and what existing clusters lack."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import click
import pytest
from click.testing import CliRunner

from sandbox.app import context
from sandbox.app.core import Sandbox
from sandbox.app.views import overview
from sandbox.app.views.overview import Network, SandboxStatus, StepState
from sandbox.cli import up
from sandbox.cli.app import sandbox
from sandbox.cli.options import Call
from sandbox.components.edge import routes
from sandbox.components.edge.route import Forward, Route
from sandbox.config.schema import ResolvedSpec
from sandbox.errors import UsageError
from sandbox.snapshot.snapshot_store import MANIFEST, Store
from tests.support import in_process, published_json
from tests.unit.cli.test_main import run
from tests.unit.snapshot.test_snapshot_store import keep


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


@pytest.fixture
def store(isolated_home: Path) -> Store:
    found = Store(context.home().snapshots)
    for name in ("whole", "changed", "torn"):
        keep(found, name)
    (found.place("demo", "changed") / "data.tar").unlink()
    (found.place("demo", "torn") / MANIFEST).write_text("{")
    return found


def test_damaged_ones_are_shown_with_what_to_do(store: Store, tmp_path: Path) -> None:
    found = run("snapshot", "list", cwd=tmp_path)
    assert found.code == 0
    lines = found.stdout.splitlines()
    assert [line.split()[1] for line in lines] == ["changed", "whole", "torn"]
    assert [line.endswith("damaged") for line in lines] == [True, False, True]
    assert "to remove it: sandbox snapshot delete torn -n demo\n" in found.stderr
    assert "data.tar" in found.stderr and "whole" not in found.stderr
    rows = json.loads(run("snapshot", "list", "-o", "json", cwd=tmp_path).stdout)
    published_json.check("snapshot list", rows)
    assert [bool(row["damage"]) for row in rows] == [True, False, True]
    assert [row["made"] is None for row in rows] == [False, False, True]


SPEC = "name: demo\ncluster: {provider: existing, context: team}\n"


@pytest.mark.parametrize(
    "command",
    ["stop", "snapshot save", "snapshot restore", "doctor network", "images gc", "addons enable metrics-server"],
)
def test_existing_cluster_is_refused_before_any_prompt(tmp_path: Path, command: str) -> None:
    (tmp_path / "sandbox.yaml").write_text(SPEC)
    found = run(*command.split(), cwd=tmp_path)
    assert found.code == 2, found.stderr
    assert "has an existing cluster" in found.stderr and "docs/existing.md" in found.stderr


def test_outside_host_needs_a_cluster_that_containers_reach(tmp_path: Path) -> None:
    forward = Forward("ingress", "service/ingress", "443", "team", "/kubeconfig")
    route = Route("demo", "demo.sandbox.localhost", "", (("127.0.0.1", 443),), 1.0, forwards=(forward,))
    routes.save(context.home().edge, route)
    found = run("edge", "route", "add", "app.demo.sandbox.localhost", "localhost:3000", cwd=tmp_path)
    assert found.code == 2
    assert "'demo' is reached by kubectl port-forward" in found.stderr and "EndpointSlice" in found.stderr
