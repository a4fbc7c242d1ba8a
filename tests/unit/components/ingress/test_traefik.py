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
from sandbox.names import DEFAULT_TLS, DOMAIN_TLS, EDGE_ADDRESS, READY
from sandbox.names import INGRESS_PORT as PORT

TRUSTED = "172.18.0.0/16"
PAGE = traefik.page("demo", port=8443, elsewhere=())
TRAEFIK = Traefik(image="t:1", busybox="b:1", page=PAGE)

Objects = Mapping[tuple[str, str], Mapping[str, Any]]


def made_by(controller: Traefik) -> Objects:
    return {(item["kind"], item["metadata"]["name"]): item for item in controller.manifests(trusted=TRUSTED)}


@pytest.fixture(scope="module")
def objects() -> Objects:
    return made_by(TRAEFIK)


def pod(objects: Objects) -> dict[str, Any]:
    spec: dict[str, Any] = objects["DaemonSet", "traefik"]["spec"]["template"]["spec"]
    return spec


def container(objects: Objects, name: str) -> dict[str, Any]:
    (named,) = (item for item in pod(objects)["containers"] if item["name"] == name)
    return dict(named)


def test_traefik_starts_once_the_api_server_answers(objects: Objects) -> None:
    """The kubelet starts containers in their order, and the next one when the hook of the last is done."""
    page, controller = pod(objects)["containers"]
    assert (page["image"], controller["image"], controller["name"]) == ("b:1", "t:1", "traefik")
    assert page["lifecycle"]["postStart"]["exec"]["command"] == ["busybox", "sh", "/page/answers.sh"]
    *_, page_files = TRAEFIK.groundwork()
    assert page_files == PAGE.empty() and "answers.sh" in page_files["data"]
    ports = [(port["name"], port["hostPort"]) for port in controller["ports"] if "hostPort" in port]
    assert ports == [("https", PORT)], "80 and 443 of nodes are left to pods"


def test_pod_of_the_only_node_asks_the_api_server_there(objects: Objects) -> None:
    """It is for that node: one that joins later has no API server."""
    alone = made_by(replace(TRAEFIK, only_node="sandbox-x-control-plane"))
    assert pod(alone)["nodeSelector"] == {"kubernetes.io/hostname": "sandbox-x-control-plane"}
    assert "nodeSelector" not in pod(objects)
    *_, host, port = container(alone, "traefik")["env"]
    assert (host["name"], host["valueFrom"]["fieldRef"]["fieldPath"]) == ("KUBERNETES_SERVICE_HOST", "status.hostIP")
    assert port == {"name": "KUBERNETES_SERVICE_PORT", "value": "6443"}
    assert not {host["name"], port["name"]} & {item["name"] for item in container(objects, "traefik")["env"]}
    assert "lifecycle" not in container(alone, "page")


def test_arguments_serve_applications_behind_the_edge_and_no_api(objects: Objects) -> None:
    arguments = dict(word.removeprefix("--").split("=", 1) for word in container(objects, "traefik")["args"])
    websecure = "entrypoints.websecure"
    assert arguments[f"{websecure}.proxyprotocol.trustedips"] == TRUSTED
    assert arguments[f"{websecure}.forwardedheaders.trustedips"] == EDGE_ADDRESS
    # A request that reached no pod goes to another.
    assert arguments[f"{websecure}.http.middlewares"] == "sandbox-system-another-pod@kubernetescrd"
    assert objects["Middleware", "another-pod"]["spec"]["retry"]["attempts"] > 1
    service = arguments["providers.kubernetesingressnginx.defaultbackendservice"]
    assert objects["Service", service.split("/")[1]]["spec"]["selector"] == {"app": "traefik"}
    assert not [name for name in arguments if name.startswith("api")]
    defaults = {name for name in arguments if name.endswith(".asdefault")}
    assert defaults == {"entrypoints.web.asdefault", f"{websecure}.asdefault"}
    # Clients may take their time to send.
    assert arguments[f"{websecure}.transport.respondingtimeouts.readtimeout"] == "0s"
    assert arguments["providers.kubernetescrd"] == "true"
    both = made_by(replace(TRAEFIK, domain_secret=DOMAIN_TLS))
    secrets = {"defaultCertificate": {"secretName": DEFAULT_TLS}}
    assert objects["TLSStore", "default"]["spec"] == secrets
    assert both["TLSStore", "default"]["spec"] == secrets | {"certificates": [{"secretName": DOMAIN_TLS}]}


def test_edge_probe_succeeds_once_hosts_and_certificates_exist(objects: Objects) -> None:
    route = objects["IngressRoute", "ready"]
    assert route["spec"]["entryPoints"] == ["websecure"]
    (rule,) = route["spec"]["routes"]
    assert rule["services"] == [{"kind": "TraefikService", "name": "ping@internal"}]
    assert rule["middlewares"] == [{"name": "known@file"}]
    (known,) = yaml_text.documents(PAGE.empty()["data"]["known.yaml"])
    assert known["http"]["middlewares"]["known"]["errors"]["service"] == "default-backend@kubernetesingressnginx"
    expression = re.fullmatch(r"HostRegexp\(`(.*)`\)", rule["match"])
    assert expression and re.search(expression[1], READY) and not re.search(expression[1], f"a.{READY}")


@pytest.mark.security(15)
def test_no_container_has_privileges_and_only_traefik_the_token(objects: Objects) -> None:
    """The pods of the ingress → no privileges; the token is Traefik's alone."""
    containers = pod(objects)["containers"]
    for context in (item["securityContext"] for item in containers):
        assert (context["runAsNonRoot"], context["readOnlyRootFilesystem"]) == (True, True)
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
    assert pod(objects)["automountServiceAccountToken"] is False
    mounted = {item["name"]: {mount["name"] for mount in item["volumeMounts"]} for item in containers}
    assert [name for name, mounts in mounted.items() if "token" in mounts] == ["traefik"]


def test_the_gateway_api_is_served_when_asked_for(objects: Objects, tmp_path: Path) -> None:
    controller = replace(TRAEFIK, gateway_files=tmp_path)
    assert "Gateway sandbox-system/sandbox" in controller.promises and "Gateway" not in TRAEFIK.promises
    with_gateway = made_by(controller)
    assert set(GATEWAY_ARGUMENTS) <= set(container(with_gateway, "traefik")["args"])
    assert set(with_gateway) - set(objects) == {
        ("ClusterRole", "sandbox-traefik-gateway"),
        ("ClusterRoleBinding", "sandbox-traefik-gateway"),
        ("Gateway", "sandbox"),
        ("GatewayClass", "traefik"),
    }
    recipe = recipes()["gateway-api"]
    assert recipe.files is not None and recipe.version == traefik.GATEWAY_VERSION, "a bundle has the same files"
    assert set(recipe.files.paths) == {f"config/crd/{traefik.gateway_path(name)}" for name in traefik.GATEWAY_FILES}
    https, passthrough = with_gateway["Gateway", "sandbox"]["spec"]["listeners"]
    assert https["tls"]["certificateRefs"][0]["name"] == DEFAULT_TLS
    assert (passthrough["protocol"], passthrough["tls"]) == ("TLS", {"mode": "Passthrough"})
    assert all(listener["allowedRoutes"]["namespaces"] == {"from": "All"} for listener in (https, passthrough))


@pytest.mark.fault(63)
def test_replaced_file_of_the_gateway_api_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another file in the bundle's place → refused by its digest; the right one is read."""
    text = b"{kind: CustomResourceDefinition, metadata: {name: a}}\n"
    monkeypatch.setattr(traefik, "GATEWAY_FILES", {"standard/things": hashlib.sha256(text).hexdigest()})
    file = tmp_path / "gateway.networking.k8s.io_things.yaml"
    file.write_bytes(text)
    assert traefik.gateway_definitions(tmp_path) == [{"kind": "CustomResourceDefinition", "metadata": {"name": "a"}}]
    file.write_text("kind: Other\n")
    with pytest.raises(SandboxError, match="is not the file from"):
        traefik.gateway_definitions(tmp_path)
