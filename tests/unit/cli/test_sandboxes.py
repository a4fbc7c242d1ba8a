"""What `status`, `stop`, `down`, `addons` and `snapshot list` say, `up` at its end, and what existing clusters lack."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import click
import pytest

from sandbox.app import context
from sandbox.app.core import Sandbox
from sandbox.app.running import addon_changes
from sandbox.app.running.addon_changes import Row
from sandbox.app.views import overview
from sandbox.app.views.overview import Network, SandboxStatus, StepState
from sandbox.cli import up
from sandbox.cli.addons import addons
from sandbox.cli.app import sandbox
from sandbox.cli.options import Call
from sandbox.config.schema import ResolvedSpec
from sandbox.errors import UsageError
from sandbox.snapshot.snapshot_store import MANIFEST, Store
from tests.support import in_process, published_json
from tests.unit.cli.test_main import run
from tests.unit.snapshot.test_snapshot_store import keep

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.mark.parametrize(("spec", "exists"), [("absent", False), ("ready", True)])
def test_certificates_alone_are_no_sandbox(spec: str, exists: bool) -> None:
    """`down` keeps them."""
    states = {"images": "ready", "spec": spec, "certificates": "ready", "cluster": "absent", "proxy": "unseen"}
    steps = [StepState(name, name, state, "") for name, state in states.items()]
    network = Network(open=False, urls=(), without_certificate=(), warning="")
    assert SandboxStatus("demo", steps, network, ()).exists is exists


@pytest.mark.parametrize(("command", "last"), [("stop", "start it again with"), ("pause", "it wakes when it is used")])
def test_last_line_has_the_form_of_progress_unless_the_sandbox_is_unknown(
    command: str, last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sandbox, command, lambda sandbox: sandbox.name == "shop")
    said = json.loads(in_process.run(sandbox, command, "-n", "shop", "--progress", "json").stderr)
    published_json.check("event", said)
    assert said["event"] == "note" and said["detail"].startswith(last)
    assert in_process.run(sandbox, command, "-n", "shop", "-q").stderr == ""
    with pytest.raises(UsageError, match="there is no sandbox 'nosuch'") as refused:
        in_process.run(sandbox, command, "-n", "nosuch")
    assert refused.value.id == "no-sandbox" and refused.value.fix.startswith("list all")


def test_down_of_a_name_that_no_sandbox_has_points_to_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sandbox, "down", lambda *_, **__: False)
    said = in_process.run(sandbox, "down", "nosuch").stderr
    assert said == "'nosuch' has nothing to remove; list all with: sandbox list\n"


@pytest.mark.parametrize(
    ("host", "ports", "own", "progress", "tried"),
    [
        ("app.demo.sandbox.localhost", (8443,), True, "auto", "/root.crt https://app.demo.sandbox.localhost:8443/\n"),
        ("app.a.com", (8443,), True, "auto", "/root.crt --resolve app.a.com:8443:127.0.0.1 https://app.a.com:8443/\n"),
        ("app.a.com", (8443, 443, 9443), True, "auto", "https://app.a.com:8443/   and :443   and :9443\n"),
        ("app.a.com", (8443,), False, "auto", "https://app.a.com"),
        ("app.a.com", (8443,), True, "quiet", ""),
    ],
)
def test_up_prints_addresses_and_a_command_to_try_them(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    host: str,
    ports: tuple[int, ...],
    own: bool,
    progress: str,
    tried: str,
) -> None:
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
        urls=lambda host: (f"https://{host}:8443/",),
    )
    monkeypatch.setattr(overview, "addresses", lambda spec: found)
    spec = SimpleNamespace(name="demo", edge=SimpleNamespace(listen="0.0.0.0"), takes_https_ports=own)  # noqa: S104
    with click.Context(click.Command("up")):
        up.welcome(cast("ResolvedSpec", spec), Call(progress=progress))
    said = capsys.readouterr().out
    assert tried in said and bool(said) is (progress != "quiet")
    assert ("\ntry " in said) is ("\ntrust " in said) is (own and progress != "quiet")


def test_damaged_snapshots_are_shown_with_what_to_do(tmp_path: Path) -> None:
    store = Store(context.home().snapshots)
    for name in ("whole", "changed", "torn"):
        keep(store, name)
    (store.place("demo", "changed") / "data.tar").unlink()
    (store.place("demo", "torn") / MANIFEST).write_text("{")
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
    assert [row["bytes"] is None for row in rows] == [False, False, True]


@pytest.mark.parametrize(
    "command",
    ["stop", "snapshot save", "snapshot restore", "doctor network", "images gc", "addons enable metrics-server"],
)
def test_existing_cluster_is_refused_before_any_prompt(tmp_path: Path, command: str) -> None:
    (tmp_path / "sandbox.yaml").write_text("name: demo\ncluster: {provider: existing, context: team}\n")
    found = run(*command.split(), cwd=tmp_path)
    assert found.code == 2, found.stderr
    assert "has an existing cluster" in found.stderr and "docs/existing.md" in found.stderr


@pytest.mark.parametrize(
    ("addon", "said"),
    [
        ("metrics", "there is no addon 'metrics'"),
        ("gateway-api", "a part of the sandbox"),
        ("./mine", "mine/addon.yaml: no such file"),
        ("Not A Name", "must be the name of an addon"),
    ],
)
def test_unknown_addon_is_refused_without_an_engine(addon: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        in_process.run(addons, "enable", addon)


@pytest.mark.parametrize("addon", ["ingress", "kong"])
def test_minikube_s_ingresses_are_for_the_spec_to_ask_for(tmp_path: Path, addon: str) -> None:
    (tmp_path / "sandbox.yaml").write_text(
        "{cluster: {provider: minikube}, ingress: {controller: traefik}, images: {source: upstream}}\n"
    )
    with pytest.raises(UsageError, match=f"the addon '{addon}' takes the node's ports") as caught:
        in_process.run(addons, "enable", addon)
    assert f"addons: [{addon}] and ingress: {{controller: none}}" in caught.value.fix


def test_addons_are_listed_by_topic_with_size_and_url(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://grafana.demo.test"
    rows = [
        Row("grafana", "ready", "command", "grafana", "pages", "", "observability", "1.0.0", 94_400_000, url),
        Row("redis", "off", None, "redis", "a store", "", "data", "1.0.0", untested=True),
        Row("mine", "drifted", "spec", "/x/mine", "mine", "Job a is gone"),
    ]
    monkeypatch.setattr(addon_changes, "listed", lambda _: rows)
    printed = in_process.run(addons, "list").output
    assert printed.splitlines() == [
        "data:",
        "  redis    off                     ?  a store (untested)",
        "observability:",
        "  grafana  ready (command)     94 MB  pages",
        f"           {url}",
        "yours:",
        "  mine     drifted (spec)             mine",
        "           Job a is gone",
    ]


def test_enable_prints_the_url_and_how_to_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["https://grafana.demo.test", "user admin, password: kubectl …"]
    monkeypatch.setattr(addon_changes, "enable", lambda *_: tuple(lines))
    assert in_process.run(addons, "enable", "grafana").output.splitlines() == lines
