"""Copies of fetched projects: kept while something uses them, and without data."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from sandbox.app import context
from sandbox.app.project import source
from sandbox.app.project.source import Fetched
from sandbox.config.resolve import load
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.config.schema.origin_schema import Origin
from sandbox.errors import UsageError
from sandbox.plan.saved_spec import RememberedStep
from tests.support.fakes import NoWork


@pytest.mark.security(17)
@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("cluster: {mounts: [{host: ../out, node: /o}, {host: seed, node: /x}]}", "cluster.mounts[1].host"),
        ("registry: {storage: data/images}", "registry.storage"),
    ],
)
def test_data_inside_a_fetched_project_is_refused(tmp_path: Path, text: str, key: str) -> None:
    """A fetched spec whose nodes or registry write into its own folder → refused, with the key."""
    root = tmp_path / "demo-abc"
    root.mkdir()
    (root / "sandbox.yaml").write_text(f"name: demo\n{text}\n")
    project = Fetched(root / "sandbox.yaml", root, Origin(kind="git"))
    with pytest.raises(UsageError) as refused:
        project.require_no_data(load(root / "sandbox.yaml"))
    assert refused.value.brief.startswith(f"{key} is a folder of a project")


def test_only_unused_copies_are_swept() -> None:
    home = context.home()
    ours, unused, killed = (home.projects / name for name in ("b-2", "c-3", ".d.x1"))
    for folder in (ours, unused, killed):
        folder.mkdir(parents=True)
    spec = ResolvedSpec.of(Spec(name="demo", apply=(ours / "k8s",)), registry=5001, https=(443,))
    RememberedStep(home.sandbox("demo"), spec).apply(NoWork())
    with source._locked(home, fcntl.LOCK_SH), source._locked(home, fcntl.LOCK_SH):
        source.sweep(home)
        assert unused.exists(), "a command may have chosen it"
    source.sweep(home)
    assert ours.exists() and not unused.exists() and not killed.exists()
    RememberedStep(home.sandbox("demo"), spec).undo()
    source.sweep(home)
    assert not ours.exists()
