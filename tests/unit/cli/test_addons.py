"""`sandbox addons`: what is refused before anything is looked at, and what is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.app.running import addon_changes
from sandbox.app.running.addon_changes import Row
from sandbox.cli.addons import addons
from sandbox.errors import UsageError
from tests.support import in_process

pytestmark = pytest.mark.usefixtures("quiet")


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
    monkeypatch.setattr(addon_changes, "enable", lambda *_: addon_changes.Enabled(lines[0], tuple(lines[1:])))
    assert in_process.run(addons, "enable", "grafana").output.splitlines() == lines
