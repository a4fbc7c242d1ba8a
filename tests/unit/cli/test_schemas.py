"""Published schemas: one for each command with `-o json`, strict enough, and what `config schema` prints."""

from __future__ import annotations

import json
from pathlib import Path

import click
import jsonschema
import pytest

from sandbox.cli.app import sandbox
from sandbox.cli.schemas import names, schema
from tests.support import published_json
from tests.unit.cli.test_main import run
from tests.unit.scripts.test_docs import leaves


def test_every_command_with_json_has_a_schema() -> None:
    found = {
        context.command_path.removeprefix("sandbox ")
        for context in leaves(sandbox, click.Context(sandbox, info_name="sandbox"))
        if any(one.name == "output" and isinstance(one.type, click.Choice) for one in context.command.params)
    }
    assert found | {"error", "event"} == set(names())


@pytest.mark.parametrize("name", names())
def test_a_schema_is_valid_and_names_its_command(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))
    assert name in schema(name)["title"]
    assert '"default"' not in json.dumps(schema(name))


def test_schemas_refuse_keys_that_they_do_not_name() -> None:
    row = {"name": "demo", "cluster": "running", "domain": "demo.test"}
    published_json.check("list", [row])
    for wrong in ({**row, "ports": []}, {"name": "demo"}, {**row, "domain": None}):
        with pytest.raises(jsonschema.ValidationError):
            published_json.check("list", [wrong])


def test_config_schema_prints_what_a_command_prints(tmp_path: Path) -> None:
    assert json.loads(run("config", "schema", "edge", "status", cwd=tmp_path).stdout) == schema("edge status")
    assert json.loads(run("config", "schema", "images", cwd=tmp_path).stdout)["properties"]["images"]
    unknown = run("config", "schema", "edge", cwd=tmp_path)
    assert (unknown.code, unknown.stdout) == (2, "")
    assert "one of sandbox, images, addons list" in unknown.stderr
