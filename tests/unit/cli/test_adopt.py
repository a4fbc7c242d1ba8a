"""A cluster made by hand is offered to anyone who can be asked, told to others, and kept in a file when agreed to."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from sandbox.app import context
from sandbox.app.edge import ports
from sandbox.app.project import existing_clusters
from sandbox.app.project.existing_clusters import UserCluster
from sandbox.cli import prompts
from sandbox.cli.up import up as command
from sandbox.config.resolve import load
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.engine import Engine
from sandbox.errors import SandboxError
from sandbox.names import Home
from sandbox.plan.saved_spec import RememberedStep
from tests.support import in_process
from tests.support.fakes import FakeEngine, NoWork

FOUND = UserCluster("kind-mine", "localhost:5001")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@dataclass
class Machine:
    """One with such a cluster, and a terminal or none; `said` is what was said there."""

    monkeypatch: pytest.MonkeyPatch
    folder: Path
    has_terminal: bool = True
    said: list[str] = field(default_factory=list)

    def offer(self, spec: Spec, typed: str, *, file: Path | None = None, ask: bool = True) -> bool:
        """Whether the cluster is to be used, by what is typed."""
        kind = Terminal if self.has_terminal else io.StringIO
        self.monkeypatch.setattr(sys, "stdin", kind(typed))
        self.monkeypatch.setattr(sys, "stderr", kind())
        place = Home(self.folder / "state", self.folder / "cache", self.folder / "kubeconfig")
        agreement = prompts.Asking(self.said.append) if ask else prompts.Telling(self.said.append)
        return agreement.existing_cluster(spec, file, place, FakeEngine()) is FOUND


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    monkeypatch.setattr(existing_clusters, "find", lambda *_: iter((FOUND,)))
    monkeypatch.chdir(tmp_path)
    return Machine(monkeypatch, tmp_path)


def test_agreed_to_it_is_written_down_for_the_next_time(machine: Machine) -> None:
    assert machine.offer(Spec(name="demo"), "y\n")
    assert machine.said == [
        "the kind cluster kind-mine and its registry localhost:5001 are on this machine, not created by sandbox",
        "wrote sandbox.yaml to keep this choice",
    ]
    written = yaml.safe_load(Path("sandbox.yaml").read_text())
    assert written["cluster"] == {"provider": "existing", "context": "kind-mine"}
    assert written["registry"] == {"external": "localhost:5001"}
    machine.said.clear()
    assert not machine.offer(Spec.model_validate(written), "") and machine.said == [], "it is not asked again"


def test_a_file_of_the_user_s_is_not_changed(machine: Machine) -> None:
    file = Path("sandbox.yaml")
    file.write_text("name: demo\n")
    assert machine.offer(load(file), "y\n", file=file)
    assert file.read_text() == "name: demo\n"
    assert machine.said[1:] == [
        "write in sandbox.yaml to keep this choice:",
        "    cluster: {provider: existing, context: kind-mine}",
        "    registry: {external: 'localhost:5001'}",
    ]


@pytest.mark.parametrize("why", ["a plan", "no terminal"])
def test_adoption_without_a_prompt_is_only_announced(machine: Machine, why: str) -> None:
    machine.has_terminal = why != "no terminal"
    assert not machine.offer(Spec(name="demo"), "y\n", ask=why != "a plan")
    assert machine.said[1] == "  'demo' gets its own cluster; to use that one, write in sandbox.yaml:"
    assert not Path("sandbox.yaml").exists()


def test_next_up_uses_adopted_cluster_without_a_spec_entry(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Spec] = []

    def reserve(spec: Spec, *_: object) -> None:
        asked.append(spec)
        raise SandboxError("enough")

    monkeypatch.setattr(ports, "reserve", reserve)
    monkeypatch.setattr(Engine, "connect", lambda: FakeEngine())
    in_process.quiet(monkeypatch)
    Path("sandbox.yaml").write_text("name: demo\nregistry: {port: 5009}\n")
    kept = ResolvedSpec.of(FOUND.adopted_by(Spec(name="demo")), registry=5009, https=(443,))
    RememberedStep(context.home().sandbox("demo"), kept).apply(NoWork())
    with pytest.raises(SandboxError, match="enough"):
        CliRunner().invoke(command, [], obj=False, standalone_mode=False, catch_exceptions=False)
    (spec,) = asked
    assert (spec.cluster.context, spec.registry.external, spec.registry.port) == ("kind-mine", "localhost:5001", 5009)
