"""A sandbox from a git repository: agreed to, run from a copy of its commit, its data kept when the branch moves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox.app import context
from sandbox.app.project import source
from sandbox.config.schema import ResolvedSpec
from sandbox.config.schema.apply_schema import paths as applied
from sandbox.kube.api import Cluster
from sandbox.names import Names
from sandbox.plan import saved_spec
from tests.real import machine
from tests.real.machine import CommandLine, Ran
from tests.support.repositories import committed, made

pytestmark = [pytest.mark.real, pytest.mark.nightly]

NAME = "test-fetched"
SPEC = f"""\
name: {NAME}
push: images.yaml
apply: [k8s]
registry: {{port: auto}}
edge: {{ports: auto}}
ingress: {{controller: none}}
"""
FILES = {
    "sandbox.yaml": SPEC,
    "images.yaml": "images: [{from: build, context: app, as: 'app:1'}]\n",
    "app/Dockerfile": "FROM sandbox.dev/busybox\n",
}


def config(said: str) -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: said, namespace: default}}\ndata: {{said: {said}}}\n"


@dataclass(frozen=True)
class Fetched:
    """The repository, and the command with a kubeconfig of its own; `first` is the spec of the first commit's `up`."""

    repository: Path
    command: CommandLine
    first: ResolvedSpec

    @property
    def names(self) -> Names:
        return context.home().sandbox(NAME)

    @property
    def spec(self) -> ResolvedSpec:
        found = saved_spec.load(self.names)
        assert found is not None
        return found

    def up(self, *more: str, status: int = 0) -> Ran:
        return self.command("up", "--from", f"file://{self.repository}", *more, status=status)

    def said(self) -> str:
        found = Cluster(self.names.kubeconfig).get("v1", "ConfigMap", "said", "default")
        assert found is not None
        return str(found["data"]["said"])


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fetched]:
    machine.engine()
    folder = tmp_path_factory.mktemp("fetched")
    repository = made(folder / "team.git", {**FILES, "k8s/a.yaml": config("first")})
    command = CommandLine({"KUBECONFIG": str(folder / "kubeconfig")}, folder)
    try:
        refused = command("up", "--from", f"file://{repository}", status=2)
        assert "error[untrusted]" in refused.err and "read it" in refused.err
        assert not context.home().sandbox(NAME).spec.exists()
        command("up", "--from", f"file://{repository}", "--trust")
        known = saved_spec.load(context.home().sandbox(NAME))
        assert known is not None
        yield Fetched(repository, command, known)
    finally:
        command("down", NAME, "--purge", status=None)


@pytest.mark.security(17)
def test_fetched_sandbox_follows_its_branch_after_a_question(fetched: Fetched) -> None:
    """`up --from GIT` of a moved branch while it runs → asks again, and runs from the new copy."""
    assert fetched.up("--plan").out == ""
    assert fetched.said() == "first"
    committed(fetched.repository, {"k8s/a.yaml": config("second")})
    assert "error[untrusted]" in fetched.up(status=2).err
    fetched.up("--trust")
    spec = fetched.spec
    assert fetched.said() == "second"
    assert spec.apply != fetched.first.apply and all(path.exists() for path in applied(fetched.first.apply))
    assert json.loads(fetched.command("images", "list", "-n", NAME, "-o", "json").out)
    assert fetched.up("--plan").out == ""


@pytest.mark.security(17)
def test_own_folder_with_its_name_is_refused(fetched: Fetched, tmp_path: Path) -> None:
    """A folder's sandbox.yaml with the name of a fetched sandbox that is up → both origins, and nothing is changed."""
    (tmp_path / "sandbox.yaml").write_text(SPEC.replace("push: images.yaml\napply: [k8s]\n", ""))
    ran = fetched.command("up", "-f", tmp_path / "sandbox.yaml", status=2)
    assert "error[other-origin]" in ran.err
    assert f"file://{fetched.repository}, commit " in ran.err and str(tmp_path / "sandbox.yaml") in ran.err
    assert fetched.said() in ("first", "second")


@pytest.mark.security(17)
def test_unused_copies_go_with_the_sandbox(fetched: Fetched) -> None:
    """`down` of a fetched sandbox → its copies go; the answer goes with --purge only."""
    home, came_from = context.home(), saved_spec.origin(fetched.names)
    assert came_from and source.is_trusted(home, came_from)
    copies = [*applied(fetched.first.apply), *applied(fetched.spec.apply)]
    fetched.command("down", NAME)
    assert not any(path.exists() for path in copies)
    assert source.is_trusted(home, came_from)
    fetched.up()
    fetched.command("down", NAME, "--purge")
    assert not fetched.names.folder.exists()
    assert not source.is_trusted(home, came_from)
