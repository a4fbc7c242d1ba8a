"""The ingress controller's manifests: they parse, and say what the sandbox promises."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from sandbox.cluster.manifests import parse
from sandbox.ingress import page, traefik
from sandbox.names import DEFAULT_TLS, SYSTEM_NAMESPACE


@pytest.fixture(scope="module")
def found() -> dict[tuple[str, str], dict[str, Any]]:
    text = traefik.manifests(traefik="t:1", busybox="b:1", trusted="172.18.0.0/16")
    return {(one["kind"], one["metadata"]["name"]): one for one in parse(text, origin="x")}


def pod(manifest: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = manifest["spec"]["template"]["spec"]
    return spec


def test_both_workloads_use_the_images_given(found: dict[tuple[str, str], dict[str, Any]]) -> None:
    images = {name: pod(found["Deployment", name])["containers"][0]["image"] for name in ("traefik", "default-backend")}
    assert images == {"traefik": "t:1", "default-backend": "b:1"}
    assert traefik.NAMESPACE == SYSTEM_NAMESPACE


def test_the_node_s_ports_are_the_controller_s(found: dict[tuple[str, str], dict[str, Any]]) -> None:
    ports = pod(found["Deployment", "traefik"])["containers"][0]["ports"]
    assert {port["hostPort"] for port in ports} == {80, 443}


def test_only_the_edge_s_network_is_trusted(found: dict[tuple[str, str], dict[str, Any]]) -> None:
    arguments = dict(
        argument.removeprefix("--").split("=", 1)
        for argument in pod(found["Deployment", "traefik"])["containers"][0]["args"]
    )
    assert arguments["entrypoints.websecure.proxyprotocol.trustedips"] == "172.18.0.0/16"
    assert arguments["entrypoints.websecure.forwardedheaders.trustedips"] == "172.18.0.0/16"
    assert arguments["providers.kubernetesingressnginx"] == "true"
    service = arguments["providers.kubernetesingressnginx.defaultbackendservice"]
    assert ("Service", service.split("/")[1]) in found


def test_the_default_certificate_is_the_sandbox_s(found: dict[tuple[str, str], dict[str, Any]]) -> None:
    stores = yaml.safe_load(found["ConfigMap", "traefik"]["data"]["tls.yaml"])["tls"]["stores"]
    assert stores["default"]["defaultCertificate"] == {"certFile": "/tls/tls.crt", "keyFile": "/tls/tls.key"}
    volumes = {one["name"]: one for one in pod(found["Deployment", "traefik"])["volumes"]}
    assert volumes["tls"]["secret"]["secretName"] == DEFAULT_TLS


def test_ingresses_written_for_nginx_are_served(found: dict[tuple[str, str], dict[str, Any]]) -> None:
    ingress_class = found["IngressClass", "nginx"]
    assert ingress_class["spec"]["controller"] == "k8s.io/ingress-nginx"
    assert ingress_class["metadata"]["annotations"]["ingressclass.kubernetes.io/is-default-class"] == "true"


def test_no_container_has_privileges(found: dict[tuple[str, str], dict[str, Any]]) -> None:
    for name in ("traefik", "default-backend"):
        for container in pod(found["Deployment", name])["containers"]:
            context = container["securityContext"]
            assert (context["runAsNonRoot"], context["readOnlyRootFilesystem"]) == (True, True)
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}


def test_the_page_is_where_the_backend_looks_for_it(found: dict[tuple[str, str], dict[str, Any]]) -> None:
    volumes = {one["name"]: one for one in pod(found["Deployment", "default-backend"])["volumes"]}
    metadata = page.manifest("x")["metadata"]
    assert volumes["site"]["configMap"]["name"] == metadata["name"]
    assert metadata["namespace"] == SYSTEM_NAMESPACE
