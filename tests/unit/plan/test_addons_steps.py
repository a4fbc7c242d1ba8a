"""Addons in a plan: where their images come from, and minikube's own with what comes before them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.bundle.recipe import versions
from sandbox.bundle.system_images import UPSTREAM, OwnImages
from sandbox.components.addons.step import AddonStep
from sandbox.components.ingress.https_step import HttpsStep
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.errors import UsageError
from sandbox.names import Home
from sandbox.plan import build as plan_build
from sandbox.step import Step, needed
from tests.support.fakes import FakeEngine
from tests.support.programs import make_program

INGRESS_ADDON = {"addon": "ingress"}
INGRESS = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: secure, namespace: demo, annotations: {nginx.ingress.kubernetes.io/ssl-passthrough: "true"}}
"""


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


def test_minikube_ingress_gets_certificate_first_probe_last(place: Home) -> None:
    steps = build(place, addons=(INGRESS_ADDON,))
    assert "minikube-ingress" in steps["minikube-addons"].requires
    assert "secrets" in steps["minikube-ingress"].requires
    proof = steps["https"]
    assert isinstance(proof, HttpsStep) and proof.secret == "default-tls" and "minikube-addons" in proof.requires


def test_users_own_controller_is_not_configured_or_probed(place: Home) -> None:
    assert not {"minikube-ingress", "https"} & build(place, addons=({"addon": "metrics-server"},)).keys()


def test_profile_addons_are_changed_by_one_command_at_a_time(place: Home) -> None:
    steps = build(place, addons=(INGRESS_ADDON,))
    changing = ("minikube-ingress", "minikube-addons")
    assert all("minikube-disused" in steps[name].requires for name in changing)
    assert changing[0] in steps[changing[1]].requires


def test_traefik_comes_when_an_ingress_of_minikube_s_has_gone(place: Home) -> None:
    steps = build(place, ingress={"controller": "traefik"})
    assert "minikube-disused" in needed(steps["ingress"], steps)


def test_passthrough_is_refused_if_minikube_would_terminate_it(place: Home, tmp_path: Path) -> None:
    file = tmp_path / "ingress.yaml"
    file.write_text(INGRESS)
    with pytest.raises(UsageError, match="Ingress demo/secure asks for ssl-passthrough") as caught:
        build(place, addons=(INGRESS_ADDON,), apply=(file,))
    assert "Traefik" in caught.value.fix
    assert build(place, apply=(file,))


@pytest.mark.parametrize(("source", "pulled"), [("auto", True), ("bundle", False)])
def test_image_the_bundle_lacks_is_pulled_where_that_is_allowed(place: Home, source: str, pulled: bool) -> None:
    images = {"source": source, "mirror": {"registry.k8s.io": "mirror.example/k8s"}}
    step = build(place, OwnImages("bundle", UPSTREAM), images=images)["addons"]
    assert isinstance(step, AddonStep)
    found = step.manager.images.pulled.get("metrics-server")
    wanted = versions().addons["metrics-server"].replace("registry.k8s.io/", "mirror.example/k8s/")
    assert found == (wanted if pulled else None)
