"""Copies of fetched projects: kept while something uses them, and what a sandbox writes is not in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.app import checkouts, context
from sandbox.app.checkouts import keeping
from sandbox.config.resolve import load
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.errors import SandboxError
from sandbox.plan.saved_spec import RememberedStep
from tests.support.fakes import NoWork

SPEC = """\
name: demo
registry: {storage: data/images}
cluster:
  mounts:
  - {host: seed, node: /seed}
  - {host: conf, node: /conf, read_only: true}
  - {host: ../outside, node: /outside}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A fetched project that mounts two of its folders."""
    folder = tmp_path / "demo-abc"
    for name, text in {
        "sandbox.yaml": SPEC,
        "seed/one": "1",
        "conf/a": "old",
        "conf/gone": "",
        "seed/.git/x": "",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (tmp_path / "outside").mkdir()
    return folder


def kept(root: Path, data: Path) -> Spec:
    return keeping(load(root / "sandbox.yaml"), root, data)


def test_data_of_a_project_lies_outside_its_copy(root: Path, tmp_path: Path) -> None:
    data = tmp_path / "state" / "demo"
    spec = kept(root, data)
    seed, conf, outside = (mount.host for mount in spec.cluster.mounts)
    assert spec.registry.storage == data / "written" / "data" / "images"
    assert (seed, conf) == (data / "written" / "seed", data / "read" / "conf")
    assert outside == root / ".." / "outside", "what lies elsewhere stays there, and is asked for"
    assert (seed / "one").read_text() == "1" and data.stat().st_mode & 0o777 == 0o700


def test_next_commit_finds_the_data_and_brings_its_files(root: Path, tmp_path: Path) -> None:
    data = tmp_path / "state" / "demo"
    seed, conf, _ = (mount.host for mount in kept(root, data).cluster.mounts)
    (seed / "one").write_text("written by a node")
    inode = conf.stat().st_ino
    (root / "seed" / "one").write_text("2")
    (root / "conf" / "a").write_text("new")
    (root / "conf" / "gone").unlink()
    assert kept(root, data) == kept(root, data)
    assert (seed / "one").read_text() == "written by a node"
    assert [(path.name, path.read_text()) for path in conf.iterdir()] == [("a", "new")]
    assert conf.stat().st_ino == inode, "nodes have this folder mounted"


def test_file_that_becomes_a_program_is_one_for_nodes(root: Path, tmp_path: Path) -> None:
    data = tmp_path / "state" / "demo"
    conf = kept(root, data).cluster.mounts[1].host
    (root / "conf" / "a").chmod(0o755)
    kept(root, data)
    assert (conf / "a").stat().st_mode & 0o777 == 0o755


def test_mount_that_is_a_link_inside_the_project_is_a_folder(root: Path, tmp_path: Path) -> None:
    (root / "short").symlink_to("conf")
    (root / "sandbox.yaml").write_text("name: demo\ncluster: {mounts: [{host: short, node: /x}]}\n")
    (mount,) = kept(root, tmp_path / "data").cluster.mounts
    assert not mount.host.is_symlink() and (mount.host / "a").read_text() == "old"


@pytest.mark.security(17)
@pytest.mark.parametrize(
    "text", ["cluster: {mounts: [{host: seed/inner/deep, node: /x}]}", "registry: {storage: seed/inner/deep}"]
)
def test_link_planted_by_a_node_is_not_followed(root: Path, tmp_path: Path, text: str) -> None:
    """A node puts a link to a folder of the user's in a folder that it may write → nothing is written through it."""
    data, victim = tmp_path / "state" / "demo", tmp_path / "victim"
    victim.mkdir()
    kept(root, data)
    (data / "written" / "seed" / "inner").symlink_to(victim)
    (root / "seed" / "inner" / "deep").mkdir(parents=True)
    (root / "sandbox.yaml").write_text(f"name: demo\n{text}\n")
    with pytest.raises(SandboxError, match="leads out"):
        kept(root, data)
    assert not list(victim.iterdir())


def test_purge_takes_the_data_too(root: Path) -> None:
    names = context.home().sandbox("demo")
    kept(root, names.data / "git-x")
    spec = ResolvedSpec.of(Spec(name="demo"), registry=5001, https=(443,))
    assert RememberedStep(names, spec).undo() is False and names.data.exists()
    assert RememberedStep(names, spec, purge=True).undo() is True and not names.data.exists()


def test_only_unused_copies_are_swept() -> None:
    home = context.home()
    ours, unused, killed = (home.projects / name for name in ("b-2", "c-3", ".d.x1"))
    for folder in (ours, unused, killed):
        folder.mkdir(parents=True)
    spec = ResolvedSpec.of(Spec(name="demo", apply=(ours / "k8s",)), registry=5001, https=(443,))
    RememberedStep(home.sandbox("demo"), spec).apply(NoWork())
    with checkouts.in_use(home), checkouts.in_use(home):
        checkouts.sweep(home)
        assert unused.exists(), "a command may have chosen it"
    checkouts.sweep(home)
    assert ours.exists() and not unused.exists() and not killed.exists()
    RememberedStep(home.sandbox("demo"), spec).undo()
    checkouts.sweep(home)
    assert not ours.exists()
