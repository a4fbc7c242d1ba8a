"""The last words of `up`: where its hosts are, and a command that leads there, whatever the name resolves to."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import click
import pytest

from sandbox.app.views import overview
from sandbox.cli import up
from sandbox.cli.options import Call
from sandbox.config.schema import ResolvedSpec


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
