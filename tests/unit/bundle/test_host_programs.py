"""Programs of a machine that is not Linux: which the bundle has for it, and what a missing one's fix says."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.bundle import host_programs
from sandbox.bundle.architecture import ARM64
from sandbox.bundle.builder import component_build
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.errors import UsageError
from tests.support.fakes import RecordingReporter


@pytest.fixture
def mac(tmp_path: Path) -> Store:
    return Store(tmp_path / "darwin", ARM64, "darwin")


def test_programs_of_a_mac_have_no_image_and_wait_for_none() -> None:
    found = host_programs.wanted()
    assert list(found) == ["kind", "helm", "buildx", "kubernetes"]
    for name, recipe in found.items():
        assert (recipe.image, recipe.needs, recipe.digest) == (None, (), recipes()[name].digest)
        assert recipe.go and recipe.go.programs
    kubectl = found["kubernetes"].go
    assert kubectl and kubectl.packages == ("k8s.io/kubernetes/cmd/kubectl",) and kubectl.variables


def test_components_of_nodes_are_refused_on_a_mac(mac: Store) -> None:
    with pytest.raises(UsageError, match="built on Linux alone: etcd, node") as caught:
        component_build.build(mac, RecordingReporter(), only=["kind", "etcd", "node"])
    assert "bundle load" in caught.value.fix


def test_programs_of_a_mac_are_built_for_it(mac: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def compiled(
        _recipe: object, _spec: object, _go: object, _work: object, out: Path, *_: object, **to: object
    ) -> None:
        asked.append((str(to["target"]), str(to["system"])))
        out.mkdir()

    monkeypatch.setattr("sandbox.bundle.builder.golang.toolchain", lambda _: Path("go"))
    monkeypatch.setattr("sandbox.bundle.builder.golang.build", compiled)
    monkeypatch.setattr("sandbox.bundle.builder.materials.note", lambda *_: ())
    component_build.build(mac, RecordingReporter(), only=["kubernetes", "kind"])
    assert asked == [(str(ARM64), "darwin")] * 2
    assert mac.has(host_programs.wanted()["kubernetes"])


@pytest.mark.parametrize(
    ("program", "fix"),
    [
        ("kind", "brew install kind, or sandbox bundle build kind"),
        ("helm", "brew install helm, or sandbox bundle build helm"),
        ("kubectl", "brew install kubernetes-cli, or sandbox bundle build kubernetes"),
    ],
)
def test_missing_program_s_fix_is_of_the_system(monkeypatch: pytest.MonkeyPatch, program: str, fix: str) -> None:
    assert host_programs.advice(program, linux="apt") == "apt"
    monkeypatch.setattr("sys.platform", "darwin")
    assert host_programs.advice(program, linux="apt") == fix
