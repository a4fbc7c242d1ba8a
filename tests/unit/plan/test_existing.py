"""The plan for a cluster that exists: no container, network or node of the sandbox in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.components.cluster.existing.steps import TenancyStep
from sandbox.components.cluster.existing.tenant import user_at_host
from sandbox.components.edge.step import ForwardedEdgeStep, ForwardedPortsStep
from sandbox.components.ingress.https_step import HttpsStep
from sandbox.components.registry.external_step import TeamRegistryStep
from sandbox.components.workloads.chart_archives import ChartPullStep
from sandbox.components.workloads.step import ApplyStep
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.images.push_step import PushStep
from sandbox.names import Home
from sandbox.plan import build as plan_build
from sandbox.step import Step
from tests.support.fakes import FakeEngine
from tests.support.programs import make_program
from tests.unit.plan.test_build import OWN, one

EXISTING: dict[str, Any] = {"cluster": {"provider": "existing", "context": "team"}}


def build(place: Home, **more: Any) -> dict[str, Step]:
    spec = ResolvedSpec.of(Spec.model_validate(EXISTING | more), registry=5001, https=(443, 8443))
    steps = plan_build.build(spec, place, FakeEngine(), OWN, environ={})
    return {step.name: step for step in steps}


def test_everything_is_in_one_namespace_behind_the_api_server(place: Home, tmp_path: Path) -> None:
    images, objects = tmp_path / "images.yaml", tmp_path / "objects.yaml"
    images.write_text("images: [busybox:1]\n")
    objects.write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n")
    steps = build(place, push=images, apply=(objects,))
    assert list(steps) == [
        *("spec", "certificates", "cluster", "context", "images", "registry", "edge", "wiring", "push"),
        *("secrets", "ingress", "apply", "page", "https"),
    ]
    registry = one(ForwardedEdgeStep, steps).registry
    assert registry and registry.port == 5001 and registry.forward
    assert (registry.forward.namespace, registry.forward.target) == ("sandbox-sandbox", "deployment/sandbox-registry")
    assert one(PushStep, steps).requires == ("registry", "edge", "images")


def test_ports_of_services_are_tunnels_into_the_one_namespace(place: Home) -> None:
    tcp = ({"port": 5432, "to": "shop/db"}, {"port": "auto", "to": "shop/cache:redis"})
    given, registry = {"tcp": tcp, "listen": "127.0.0.2"}, {"external": "registry.team.example"}
    steps = build(place, edge=given, registry=registry)
    assert list(steps)[-1] == "ports"
    edge = one(ForwardedEdgeStep, steps).route
    assert (edge.address, [port.port for port in edge.ports]) == ("127.0.0.2", [5432, 15432])
    services = [(to.name, to.namespace, to.target, to.port) for to in edge.forwards if to.name != "ingress"]
    assert services == [
        (edge.ports[0].to, "sandbox-sandbox", "service/db", "5432"),
        (edge.ports[1].to, "sandbox-sandbox", "service/cache", "redis"),
    ]
    assert "wiring" not in steps and one(ForwardedEdgeStep, steps).registry is None, "the registry is the team's"
    assert one(TeamRegistryStep, steps).where == "registry.team.example"
    assert [str(port) for port in one(ForwardedPortsStep, steps).ports] == ["5432", "15432"]


def test_ports_alone_are_tunnels_where_nothing_else_is_forwarded(place: Home) -> None:
    ingress, registry = {"controller": "none"}, {"external": "registry.team.example"}
    assert "edge" not in build(place, registry=registry, ingress=ingress)
    steps = build(place, registry=registry, ingress=ingress, edge={"tcp": ({"port": 5432, "to": "shop/db"},)})
    assert [port.port for port in one(ForwardedEdgeStep, steps).route.ports] == [5432]


@pytest.mark.parametrize(("environ", "owner"), [({"SANDBOX_OWNER": "ci@shop"}, "ci@shop"), ({}, user_at_host())])
def test_owner_in_ci_is_named_by_a_variable(place: Home, environ: dict[str, str], owner: str) -> None:
    spec = ResolvedSpec.of(Spec.model_validate(EXISTING), registry=5001, https=(443,))
    plan = plan_build.build(spec, place, FakeEngine(), OWN, environ=environ)
    assert [step.owner for step in plan if isinstance(step, TenancyStep)] == [owner]


def test_users_certificate_is_the_default_one_there_too(place: Home, tmp_path: Path) -> None:
    own = {"cert": tmp_path / "own.crt", "key": tmp_path / "own.key"}
    steps = build(place, certs={"default": own})
    https, secrets = one(HttpsStep, steps), steps["secrets"]
    assert (https.secret, https.root) == ("sandbox-default-tls", own["cert"])
    assert (secrets.title, one(HttpsStep, build(place)).secret) == ("1 TLS Secret", "sandbox-domain-tls")


def test_charts_are_pulled_and_applied_without_releases(
    place: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_program(tmp_path / "helm", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    chart = {"chart": "web", "repo": "https://charts.example.com", "version": "1.0.0", "lock": tmp_path / "lock.yaml"}
    steps = build(place, apply=(chart,))
    apply = one(ApplyStep, steps)
    assert (apply.title, apply.requires[-1]) == ("chart web", one(ChartPullStep, steps).name)
    assert "charts" not in steps
