"""`sandbox explain`: one id, all of them, and one that was mistyped."""

from __future__ import annotations

import json
from pathlib import Path

from sandbox.advice import registry
from tests.unit.cli.test_main import run


def test_an_id_is_explained(tmp_path: Path) -> None:
    about = registry()["port-in-use"]
    said = run("explain", "port-in-use", cwd=tmp_path).stdout
    assert said == f"port-in-use: {about.title}\n\n{about.meaning}\n\n{about.advice}\n"
    assert json.loads(run("explain", "port-in-use", "-o", "json", cwd=tmp_path).stdout) == [
        {"id": "port-in-use", **about._asdict()}
    ]
    assert [line.split()[0] for line in run("explain", cwd=tmp_path).stdout.splitlines()] == list(registry())


def test_a_mistyped_one_gets_a_suggestion(tmp_path: Path) -> None:
    found = run("explain", "port-in-us", cwd=tmp_path)
    assert (found.code, found.stdout) == (2, "")
    assert found.stderr == "error[usage]: no error has the id 'port-in-us'\nfix: sandbox explain port-in-use\n"
    assert run("explain", "xyzzy", cwd=tmp_path).stderr.endswith("fix: sandbox explain\n")
