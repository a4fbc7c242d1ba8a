"""`sandbox registry` from its options to its two outputs; a registry of others needs no engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sandbox.cli import log, signals
from sandbox.cli.registry import registry as command
from sandbox.errors import UsageError
from sandbox.oci.client import Client
from tests.support.registry_simulator import Simulator
from tests.unit.images.test_registry_content import place


@pytest.fixture
def registry() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def spec(tmp_path: Path, registry: Simulator, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(log, "start", lambda *, verbose: None)
    monkeypatch.setattr(signals, "catch", lambda *_: None)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file = tmp_path / "sandbox.yaml"
    file.write_text(f"registry: {{external: '{registry.url}'}}\n")
    return file


def run(*arguments: str | Path) -> Result:
    """The command's result; an error that people would see is raised."""
    result = CliRunner().invoke(command, list(map(str, arguments)), obj=False, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result


def test_an_empty_registry_is_said_to_be_empty(spec: Path, registry: Simulator) -> None:
    result = run("list", "-f", spec)
    assert (result.return_value, result.stdout) == (0, "")
    assert result.stderr == f"0 tags in {registry.url}, 0.0 MB together\n"


def test_each_tag_has_its_size_and_what_no_other_user_has_of_it(spec: Path, registry: Simulator) -> None:
    with Client(registry.url) as client:
        first = place(client, "app", "1", b"b" * 3_000_000, b"m" * 1_000_000)
        place(client, "other", "dev", b"b" * 3_000_000)
    lines = run("list", "-f", spec).stdout.splitlines()
    assert lines[0].split() == ["app:1", first.digest[7:19], "4.0", "MB", "1.0", "MB", "its", "own"]
    assert lines[1].split()[0] == "other:dev"
    report = json.loads(run("list", "-f", spec, "-o", "json").stdout)
    assert report["registry"] == registry.url
    (app, other) = report["images"]
    assert (app["repository"], app["tag"], app["digest"]) == ("app", "1", first.digest)
    assert app["unique_bytes"] + app["shared_bytes"] == app["bytes"]
    assert app["shared_bytes"] == other["shared_bytes"] == 3_000_000
    assert report["bytes"] == app["bytes"] + other["bytes"] - 3_000_000


def test_the_garbage_of_a_registry_of_others_is_theirs(spec: Path) -> None:
    with pytest.raises(UsageError, match="not the sandbox's own"):
        run("gc", "-f", spec)
