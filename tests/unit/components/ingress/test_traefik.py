"""The ingress controller's manifests: they say what the sandbox promises."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox.bundle.recipe import recipes
from sandbox.components.ingress import traefik
from sandbox.components.ingress.traefik import GATEWAY_ARGUMENTS, Traefik
from sandbox.config import yaml_text
from sandbox.errors import SandboxError
from sandbox.names import DEFAULT_TLS, DOMAIN_TLS, EDGE_ADDRESS, READY, SYSTEM_NAMESPACE
from sandbox.names import INGRESS_PORT as PORT

TRUSTED = "172.18.0.0/16"
PAGE = traefik.page("demo", port=8443, elsewhere=())
TRAEFIK = Traefik(image="t:1", busybox="b:1", page=PAGE)

Found = Mapping[tuple[str, str], Mapping[str, Any]]


def of(controller: Traefik) -> Found:
    return {(one["kind"], one["metadata"]["name"]): one for one in controller.manifests(trusted=TRUSTED)}


@pytest.fixture(scope="module")
def found() -> Found:
    return of(TRAEFIK)


def pod(found: Found) -> dict[str, Any]:
    spec: dict[str, Any] = found["DaemonSet", "traefik"]["spec"]["template"]["spec"]
    return spec


def container(found: Found, name: str) -> dict[str, Any]:
    (one,) = (one for one in pod(found)["containers"] if one["name"] == name)
    return dict(one)


def arguments(found: Found) -> dict[str, str]:
    return dict(one.removeprefix("--").split("=", 1) for one in container(found, "traefik")["args"])


def test_both_containers_use_the_images_given(found: Found) -> None:
    assert (container(found, "traefik")["image"], container(found, "page")["image"]) == ("t:1", "b:1")


def test_traefik_starts_once_the_api_server_answers(found: Found) -> None:
    """The kubelet starts containers in their order, and the next one when the hook of the last is done."""
    first, second = pod(found)["containers"]
    assert first["lifecycle"]["postStart"]["exec"]["command"] == ["busybox", "sh", "/page/answers.sh"]
    assert second["name"] == "traefik"
    assert "answers.sh" in PAGE.empty()["data"]


def test_pod_of_the_only_node_asks_the_api_server_there(found: Found) -> None:
    """It is for that node: one that joins later has no API server."""
    alone = of(replace(TRAEFIK, only_node="sandbox-x-control-plane"))
    assert pod(alone)["nodeSelector"] == {"kubernetes.io/hostname": "sandbox-x-control-plane"}
    assert "nodeSelector" not in pod(found)
    *_, host, port = container(alone, "traefik")["env"]
    assert (host["name"], host["valueFrom"]["fieldRef"]["fieldPath"]) == ("KUBERNETES_SERVICE_HOST", "status.hostIP")
    assert port == {"name": "KUBERNETES_SERVICE_PORT", "value": "6443"}
    assert not {host["name"], port["name"]} & {one["name"] for one in container(found, "traefik")["env"]}
    assert "lifecycle" not in container(alone, "page")


def test_ports_80_and_443_of_nodes_are_left_to_pods(found: Found) -> None:
    ports = container(found, "traefik")["ports"]
    assert [(one["name"], one["hostPort"]) for one in ports if "hostPort" in one] == [("https", PORT)]


def test_forwarded_headers_are_trusted_only_from_the_edge(found: Found) -> None:
    said = arguments(found)
    assert said["entrypoints.websecure.proxyprotocol.trustedips"] == TRUSTED
    assert said["entrypoints.websecure.forwardedheaders.trustedips"] == EDGE_ADDRESS


def test_a_request_that_reached_no_pod_goes_to_another(found: Found) -> None:
    namespace, name = "sandbox-system", "another-pod"
    assert arguments(found)["entrypoints.websecure.http.middlewares"] == f"{namespace}-{name}@kubernetescrd"
    assert found["Middleware", name]["spec"]["retry"]["attempts"] > 1


def test_unknown_hosts_are_answered_by_the_page_next_to_it(found: Found) -> None:
    service = arguments(found)["providers.kubernetesingressnginx.defaultbackendservice"]
    assert found["Service", service.split("/")[1]]["spec"]["selector"] == {"app": "traefik"}


def test_routers_belong_to_the_ports_of_applications_and_there_is_no_api(found: Found) -> None:
    said = arguments(found)
    assert not [name for name in said if name.startswith("api")]
    assert {name for name in said if name.endswith(".asdefault")} == {
        "entrypoints.web.asdefault",
        "entrypoints.websecure.asdefault",
    }


def test_clients_may_take_their_time_to_send(found: Found) -> None:
    assert arguments(found)["entrypoints.websecure.transport.respondingtimeouts.readtimeout"] == "0s"


def test_the_default_certificate_is_the_secret_that_is_watched(found: Found) -> None:
    store = found["TLSStore", "default"]
    assert store["spec"] == {"defaultCertificate": {"secretName": DEFAULT_TLS}}
    assert store["metadata"]["namespace"] == SYSTEM_NAMESPACE
    assert arguments(found)["providers.kubernetescrd"] == "true"
    assert "TLSStore" in traefik.TRAEFIK_KINDS


def test_edge_probe_succeeds_once_hosts_and_certificates_exist(found: Found) -> None:
    route = found["IngressRoute", "ready"]
    assert route["spec"]["entryPoints"] == ["websecure"]
    (rule,) = route["spec"]["routes"]
    assert rule["services"] == [{"kind": "TraefikService", "name": "ping@internal"}]
    assert rule["middlewares"] == [{"name": "known@file"}]
    (known,) = yaml_text.documents(PAGE.empty()["data"]["known.yaml"])
    assert known["http"]["middlewares"]["known"]["errors"]["service"] == "default-backend@kubernetesingressnginx"
    expression = re.fullmatch(r"HostRegexp\(`(.*)`\)", rule["match"])
    assert expression and re.search(expression[1], READY) and not re.search(expression[1], f"a.{READY}")


def test_custom_kinds_exist_before_traefik_starts() -> None:
    *definitions, page = TRAEFIK.groundwork()
    assert page == PAGE.empty()
    kinds = {one["spec"]["names"]["kind"]: one for one in definitions}
    assert kinds.keys() == set(traefik.TRAEFIK_KINDS)
    assert kinds["TraefikService"]["metadata"]["name"] == "traefikservices.traefik.io"


def test_ingresses_written_for_nginx_are_served(found: Found) -> None:
    ingress_class = found["IngressClass", "nginx"]
    assert ingress_class["spec"]["controller"] == "k8s.io/ingress-nginx"
    assert ingress_class["metadata"]["annotations"]["ingressclass.kubernetes.io/is-default-class"] == "true"


@pytest.mark.security(15)
def test_no_container_has_privileges_and_only_traefik_the_token(found: Found) -> None:
    """The pods of the ingress → no privileges; the token is Traefik's alone."""
    for one in pod(found)["containers"]:
        context = one["securityContext"]
        assert (context["runAsNonRoot"], context["readOnlyRootFilesystem"]) == (True, True)
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
    assert pod(found)["automountServiceAccountToken"] is False
    mounted = {one["name"]: {mount["name"] for mount in one["volumeMounts"]} for one in pod(found)["containers"]}
    assert [name for name, mounts in mounted.items() if "token" in mounts] == ["traefik"]


def test_the_gateway_api_is_served_when_asked_for(found: Found, tmp_path: Path) -> None:
    with_gateway = of(replace(TRAEFIK, gateway_files=tmp_path))
    assert set(GATEWAY_ARGUMENTS) <= set(container(with_gateway, "traefik")["args"])
    assert set(with_gateway) - set(found) == {
        ("ClusterRole", "sandbox-traefik-gateway"),
        ("ClusterRoleBinding", "sandbox-traefik-gateway"),
        ("Gateway", "sandbox"),
        ("GatewayClass", "traefik"),
    }
    https, passthrough = with_gateway["Gateway", "sandbox"]["spec"]["listeners"]
    assert https["tls"]["certificateRefs"][0]["name"] == DEFAULT_TLS
    assert (passthrough["protocol"], passthrough["tls"]) == ("TLS", {"mode": "Passthrough"})
    assert all(one["allowedRoutes"]["namespaces"] == {"from": "All"} for one in (https, passthrough))


def test_gateway_api_is_reported(tmp_path: Path) -> None:
    assert "Gateway" not in TRAEFIK.promises
    assert "Gateway sandbox-system/sandbox" in replace(TRAEFIK, gateway_files=tmp_path).promises


def test_domain_certificate_is_preferred_if_present() -> None:
    own = of(TRAEFIK)["TLSStore", "default"]["spec"]
    both = of(replace(TRAEFIK, domain_secret=DOMAIN_TLS))["TLSStore", "default"]["spec"]
    assert own == {"defaultCertificate": {"secretName": DEFAULT_TLS}}
    assert both == own | {"certificates": [{"secretName": DOMAIN_TLS}]}


def test_the_bundle_takes_the_same_files_of_the_same_release() -> None:
    recipe = recipes()["gateway-api"]
    assert recipe.version == traefik.GATEWAY_VERSION
    assert recipe.files is not None
    assert set(recipe.files.paths) == {f"config/crd/{traefik.gateway_path(name)}" for name in traefik.GATEWAY_FILES}


def test_gateway_definitions_are_read_from_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"{kind: CustomResourceDefinition, metadata: {name: a}}\n"
    monkeypatch.setattr(traefik, "GATEWAY_FILES", {"standard/things": hashlib.sha256(text).hexdigest()})
    (tmp_path / "gateway.networking.k8s.io_things.yaml").write_bytes(text)
    assert traefik.gateway_definitions(tmp_path) == [{"kind": "CustomResourceDefinition", "metadata": {"name": "a"}}]


@pytest.mark.fault(63)
def test_replaced_file_is_refused(tmp_path: Path) -> None:
    """Another file in the bundle's place → refused by its digest."""
    for name in traefik.GATEWAY_FILES:
        (tmp_path / Path(traefik.gateway_path(name)).name).write_text("kind: Other\n")
    with pytest.raises(SandboxError, match="is not the file from"):
        traefik.gateway_definitions(tmp_path)
