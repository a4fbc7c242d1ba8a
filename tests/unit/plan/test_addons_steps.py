"""Addons in a plan: where their images come from, and minikube's own with what comes before them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.bundle.recipe import versions
from sandbox.bundle.system_images import UPSTREAM, OwnImages
from sandbox.components.addons.step import AddonStep
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.names import Home
from sandbox.plan import build as plan_build
from sandbox.step import Step, needed
from tests.support.fakes import FakeEngine
from tests.support.programs import make_program

INGRESS_ADDON = {"addon": "ingress"}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    make_program(tmp_path / "minikube", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    return Home(tmp_path / "state", tmp_path / "cache", tmp_path / "kubeconfig")


def build(place: Home, own: OwnImages | None = None, **more: Any) -> dict[str, Step]:
    base = {"cluster": {"provider": "minikube"}, "ingress": {"controller": "none"}}
    spec = ResolvedSpec.of(Spec.model_validate(base | more), registry=5001, https=(443, 8443))
    return {
        step.name: step
        for step in plan_build.build(spec, place, FakeEngine(), own or OwnImages("upstream", UPSTREAM), environ={})
    }


def test_profile_addons_are_changed_by_one_command_at_a_time(place: Home) -> None:
    steps = build(place, addons=(INGRESS_ADDON,))
    assert "minikube-disused" in steps["minikube-addons"].requires


def test_traefik_comes_when_an_ingress_of_minikube_s_has_gone(place: Home) -> None:
    steps = build(place, ingress={"controller": "traefik"})
    assert "minikube-disused" in needed(steps["ingress"], steps)


@pytest.mark.parametrize(("source", "pulled"), [("auto", True), ("bundle", False)])
def test_image_the_bundle_lacks_is_pulled_where_that_is_allowed(place: Home, source: str, pulled: bool) -> None:
    images = {"source": source, "mirror": {"registry.k8s.io": "mirror.example/k8s"}}
    step = build(place, OwnImages("bundle", UPSTREAM), images=images)["addons"]
    assert isinstance(step, AddonStep)
    found = step.manager.images.pulled.get("metrics-server")
    wanted = versions().addons["metrics-server"].replace("registry.k8s.io/", "mirror.example/k8s/")
    assert found == (wanted if pulled else None)
