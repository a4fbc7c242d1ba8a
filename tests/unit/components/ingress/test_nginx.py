"""ingress-nginx's manifests: exactly the flags that do what Traefik does, and the page in its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sandbox.components.ingress import default_backend
from sandbox.components.ingress.nginx import IMAGE, Nginx
from sandbox.names import DEFAULT_TLS, SYSTEM_NAMESPACE
from sandbox.names import INGRESS_PORT as PORT

NGINX = Nginx("b:1", "demo", 8443)

Found = Mapping[tuple[str, str], Mapping[str, Any]]


@pytest.fixture(scope="module")
def found() -> Found:
    return {(one["kind"], one["metadata"]["name"]): one for one in NGINX.manifests(trusted="172.18.0.0/16")}


def container(found: Found, workload: str, kind: str = "DaemonSet") -> Mapping[str, Any]:
    (only,) = found[kind, workload]["spec"]["template"]["spec"]["containers"]
    return dict(only)


def test_nginx_has_the_expected_flags(found: Found) -> None:
    assert container(found, "ingress-nginx")["args"] == [
        "/nginx-ingress-controller",
        "--controller-class=k8s.io/ingress-nginx",
        "--ingress-class=nginx",
        "--watch-ingress-without-class=true",
        f"--configmap={SYSTEM_NAMESPACE}/ingress-nginx",
        f"--default-ssl-certificate={SYSTEM_NAMESPACE}/{DEFAULT_TLS}",
        f"--default-backend-service={SYSTEM_NAMESPACE}/default-backend",
        "--enable-ssl-passthrough",
        "--disable-leader-election",
        "--update-status=false",
        "--post-shutdown-grace-period=0",
    ]


@pytest.mark.security(8)
def test_nginx_image_is_the_last_release_by_digest(found: Found) -> None:
    """The image of ingress-nginx → named by digest."""
    assert container(found, "ingress-nginx")["image"] == IMAGE
    assert IMAGE.startswith("registry.k8s.io/ingress-nginx/controller:v1.15.1@sha256:")


def test_only_the_edge_may_set_the_client_address(found: Found) -> None:
    data = found["ConfigMap", "ingress-nginx"]["data"]
    assert data["use-proxy-protocol"] == "true"
    assert data["proxy-real-ip-cidr"] == "172.18.0.0/16"
    assert (data["hsts"], data["proxy-body-size"]) == ("false", "0")


def test_class_ports_and_services_are_the_same_as_traefik_s(found: Found) -> None:
    ports = container(found, "ingress-nginx")["ports"]
    assert [(one["name"], one["hostPort"]) for one in ports if "hostPort" in one] == [("https", PORT)]
    annotations = found["IngressClass", "nginx"]["metadata"]["annotations"]
    assert annotations["ingressclass.kubernetes.io/is-default-class"] == "true"
    assert found["Service", "ingress"]["spec"]["selector"] == {"app": "ingress-nginx"}


def test_default_backend_serves_the_prepared_page(found: Found) -> None:
    (config,) = NGINX.groundwork()
    volumes = found["Deployment", "default-backend"]["spec"]["template"]["spec"]["volumes"]
    assert {"name": "site", "configMap": {"name": config["metadata"]["name"]}} in volumes
    assert default_backend.is_default(config["data"]["404.html"])
    assert container(found, "default-backend", "Deployment")["image"] == "b:1"


def test_nginx_warns_that_it_is_archived() -> None:
    assert "archived in March 2026" in NGINX.promises
