"""Which Services get an Ingress where a project's manifests have none."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from sandbox.init.detected import Front
from sandbox.init.web_services import fronts, ingresses


def service(name: str, kind: str = "ClusterIP", port: int = 80, **more: Any) -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": more.pop("namespace")} if "namespace" in more else {})}
    return {"kind": "Service", "metadata": metadata, "spec": {"type": kind, "ports": [{"port": port}], **more}}


@pytest.mark.parametrize(
    ("objects", "found"),
    [
        (
            [service("web", "LoadBalancer"), service("frontend"), service("db", port=5432)],
            [Front("web", "default", 80)],
        ),
        ([service("vote", "NodePort", 8080, namespace="v")], [Front("vote", "v", 8080)]),
        ([service("frontend"), service("backend")], [Front("frontend", "default", 80)]),
        ([service("podinfo", port=9898)], [Front("podinfo", "default", 9898)]),
        ([service("a"), service("b")], []),
        ([service("db", "NodePort", 5432)], []),
        ([service("web", clusterIP="None")], []),
        ([service("{{applicationName}}-svc", "NodePort")], []),
        ([service("web", "NodePort"), {"kind": "Ingress", "metadata": {"name": "web"}}], []),
        ([{"kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": "80"}}], []),
    ],
)
def test_services_for_people_are_found(objects: list[dict[str, Any]], found: list[Front]) -> None:
    assert list(fronts(objects)) == found


def workload(name: str, *ports: int) -> dict[str, Any]:
    containers = [{"ports": [{"containerPort": port} for port in ports]}]
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers}}
    return {"kind": "Deployment", "metadata": {"name": name}, "spec": {"template": template}}


def test_workloads_that_are_forwarded_have_a_way_in() -> None:
    """tilt-dev/tilt-avatars forwards a port to a Deployment without a Service; that is its page."""
    objects = [
        *(workload("web", 3000), workload("api", 8000), workload("db", 5432), workload("idle", 80)),
        service("api-svc", selector={"app": "api"}),
    ]
    wanted: dict[str, int | None] = {"web": None, "api": 8000, "db": 5432, "gone": 1}
    web, api = fronts(objects, wanted)
    assert (web, api) == (Front("web", "default", 3000, {"app": "web"}), Front("api-svc", "default", 80))
    written = list(yaml.safe_load_all(ingresses([web, api], "x.test")))
    assert [one["kind"] for one in written] == ["Service", "Ingress", "Ingress"]
    assert written[0]["spec"] == {"selector": {"app": "web"}, "ports": [{"port": 3000}]}


def test_each_has_an_ingress_at_its_name_in_its_namespace() -> None:
    first, second = yaml.safe_load_all(ingresses([Front("vote", "v", 8080), Front("web", "default", 80)], "x.test"))
    rule = first["spec"]["rules"][0]
    assert (first["metadata"]["namespace"], rule["host"]) == ("v", "vote.x.test")
    assert rule["http"]["paths"][0]["backend"] == {"service": {"name": "vote", "port": {"number": 8080}}}
    assert second["spec"]["tls"] == [{"hosts": ["web.x.test"]}]
