"""What commands say of themselves: help, completion, advice on errors, and schemas of their JSON."""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete

from sandbox.advice import registry
from sandbox.app import context
from sandbox.cli import certs
from sandbox.cli.app import COMMANDS, sandbox
from sandbox.cli.config import result_names, result_schema
from sandbox.components.certificates.export_formats import FORMATS
from sandbox.truststore.trusted_root import Kind
from tests.unit.cli.test_main import run


def leaves(command: click.Command, context: click.Context) -> Iterator[click.Context]:
    if not isinstance(command, click.Group):
        yield context
        return
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        assert child is not None
        yield from leaves(child, click.Context(child, parent=context, info_name=name))


CONTEXTS = list(leaves(sandbox, click.Context(sandbox, info_name="sandbox")))


def test_help_of_every_command_has_an_example_and_fits_80_columns() -> None:
    for command in CONTEXTS:
        assert f"\n{command.command_path}" in inspect.cleandoc(command.command.help or ""), command.command_path
    groups = {command.parent for command in CONTEXTS if command.parent}
    lines = [line for command in (*CONTEXTS, *groups) for line in command.get_help().splitlines()]
    assert [line for line in lines if len(line) > 80] == []


def test_choices_that_are_written_out_are_those_there_are() -> None:
    for command, choices in ((certs.export, list(FORMATS)), (certs.trust, [kind.value for kind in Kind])):
        assert choices in [list(getattr(param.type, "choices", ())) for param in command.params], command.name


def offered(words: str) -> list[str]:
    """Return the completions of the last word."""
    *before, last = words.split(" ")
    complete = BashComplete(sandbox, {}, "sandbox", "_SANDBOX_COMPLETE")
    return [item.value for item in complete.get_completions(before, last)]


def test_completion_offers_commands_options_and_names() -> None:
    assert offered("") == list(COMMANDS)
    assert offered("st") == [name for name in COMMANDS if name.startswith("st")]
    assert "show" in offered("certs s")
    assert "--plan" in offered("up --pl")
    assert offered("nosuch ") == list(COMMANDS), "a mistyped command is no error while typing"
    home = context.home()
    home.sandbox("demo").folder.mkdir(parents=True)
    home.sandbox("old").keys.mkdir(parents=True)
    assert offered("down ") == ["demo", "old"]
    assert offered("addons enable metr") == ["metrics-server"]
    assert offered("explain port-in") == ["port-in-use"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str, tmp_path: Path) -> None:
    printed = run("completion", shell, cwd=tmp_path)
    assert printed.code == 0
    assert "_SANDBOX_COMPLETE" in printed.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n", "-c", printed.stdout], check=True, timeout=60)


def test_an_id_is_explained(tmp_path: Path) -> None:
    about = registry()["port-in-use"]
    said = run("explain", "port-in-use", cwd=tmp_path).stdout
    assert said == f"port-in-use: {about.title}\n\n{about.meaning}\n\n{about.advice}\n"
    assert [line.split()[0] for line in run("explain", cwd=tmp_path).stdout.splitlines()] == list(registry())
    mistyped = run("explain", "port-in-us", cwd=tmp_path)
    assert (mistyped.code, mistyped.stdout) == (2, "")
    assert mistyped.stderr == "error[usage]: no error has the id 'port-in-us'\nfix: sandbox explain port-in-use\n"
    assert run("explain", "xyzzy", cwd=tmp_path).stderr.endswith("fix: sandbox explain\n")


def test_every_command_with_json_has_a_schema() -> None:
    found = {
        context.command_path.removeprefix("sandbox ")
        for context in CONTEXTS
        if any(one.name == "output" and isinstance(one.type, click.Choice) for one in context.command.params)
    }
    assert found | {"error", "event"} == set(result_names())


def test_config_schema_prints_what_a_command_prints(tmp_path: Path) -> None:
    assert json.loads(run("config", "schema", "edge", "status", cwd=tmp_path).stdout) == result_schema("edge status")
    assert json.loads(run("config", "schema", "images", cwd=tmp_path).stdout)["properties"]["images"]
    unknown = run("config", "schema", "edge", cwd=tmp_path)
    assert (unknown.code, unknown.stdout) == (2, "")
    assert "one of sandbox, images, addons list" in unknown.stderr
