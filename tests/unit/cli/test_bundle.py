"""`sandbox bundle save`, `load`, `verify` and `list` from their options to their outputs."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from sandbox.app import context
from sandbox.app.session import Session
from sandbox.bundle.contents import Damaged
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.bundle.system_images import NEEDED
from sandbox.cli.bundle import bundle as command
from sandbox.cli.options import Call
from sandbox.errors import UsageError
from sandbox.system import sandbox_lock
from sandbox.system.sandbox_lock import Busy
from tests.support import in_process
from tests.unit.bundle.test_bundle_file import store

__all__ = ["store"]


pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture
def cache(store: Store) -> Store:
    """The same components where the command line looks for them."""
    root = context.home().bundle
    shutil.copytree(store.root, root)
    return Store(root)


run = partial(in_process.run, command)


def test_saved_bundle_has_the_same_identity_and_content_for_everyone(cache: Store, tmp_path: Path) -> None:
    file = tmp_path / "one.bundle"
    with pytest.raises(UsageError, match="there is no sandbox 'nosuch'"):
        run("save", file, "-n", "nosuch")
    assert not list(tmp_path.glob("*one.bundle*"))
    saved, verified = run("save", "--raw", file), run("verify", file)
    here, there = (
        {row["name"]: row["bytes"] for row in json.loads(run("list", *words, "-o", "json").stdout)}
        for words in ((), (file,))
    )
    assert here.keys() == recipes().keys() and here["traefik"] is None and "not built" in run("list").stdout
    assert there.keys() == {*NEEDED, "kubernetes", "metrics-server"} and here["node"] == there["node"]
    shutil.rmtree(cache.root)
    loaded = run("load", file)
    assert saved.stdout == verified.stdout == loaded.stdout
    assert saved.stdout.startswith("sha256:") and saved.stdout.endswith(f"  {file}\n")
    assert "nothing changed, complete" in verified.stderr
    assert all(cache.has(recipes()[name]) for name in NEEDED)
    file.write_bytes(file.read_bytes().replace(b"image of node", b"image of evil", 1))
    with pytest.raises(Damaged, match=r"components/node-.*/image\.tar: changed"):
        run("verify", file)


@pytest.mark.parametrize("arguments", [("save", "one.bundle"), ("build", "node")])
def test_command_that_waits_for_another_names_it(
    cache: Store, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setattr(Call, "session", Session(patience=0.1, say=partial(click.echo, err=True)))
    with sandbox_lock.take(cache.root, "sandbox bundle build --jobs 1", seconds=0, waits=print):
        result = CliRunner().invoke(command, arguments, obj=False, standalone_mode=False)
    assert "waiting for `sandbox bundle build --jobs 1` (pid " in result.stderr
    assert isinstance(result.exception, Busy) and result.exception.brief == "another command works on the bundle"
