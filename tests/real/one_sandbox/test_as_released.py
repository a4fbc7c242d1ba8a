"""Behaviour of released Kubernetes that its own end-to-end tests do not cover: probes, tokens, leases."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
import yaml

from tests.real.application import Application
from tests.real.machine import tool

pytestmark = pytest.mark.real

# Fails for two seconds in every seven. Probes that are ten seconds apart meet that twice in a row at most.
UNSTEADY = """\
[ $(($(busybox date +%s) % 7)) -lt 2 ] && said='503 Service Unavailable' || said='200 OK'
printf 'HTTP/1.0 %s\\r\\n\\r\\n' "$said"
"""
SERVER = 'busybox mkdir -p /www/cgi-bin; cd /www/cgi-bin; { echo "#!/bin/busybox sh"; echo "$SCRIPT"; } >ready; '
SERVER += "busybox chmod +x ready; exec busybox httpd -f -p 8080 -h /www"


def unsteady(up: Application) -> str:
    container = {
        "name": "server",
        "image": f"localhost:{up.registry}/app:1",
        "command": ["busybox", "sh", "-c", SERVER],
        "env": [{"name": "SCRIPT", "value": UNSTEADY}],
        "readinessProbe": {"httpGet": {"path": "/cgi-bin/ready", "port": 8080}},
    }
    metadata, labels = {"name": "unsteady", "namespace": "default"}, {"app": "unsteady"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
    }
    spec = {"selector": {"matchLabels": labels}, "template": template}
    service = {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]}
    return yaml.safe_dump_all(
        [
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec},
            {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
        ]
    )


def got(up: Application, *argv: str) -> Any:
    """Return the output of `kubectl get` as data."""
    return json.loads(up.kubectl("get", *argv, "--output", "json"))


@pytest.mark.nightly
@pytest.mark.timeout(300)
def test_pod_stays_in_its_service_while_fewer_probes_fail_than_the_threshold(up: Application) -> None:
    file = up.folder / "unsteady.yaml"
    file.write_text(unsteady(up))

    def standing() -> tuple[str, str]:
        """Return when the pod's Ready condition last changed, and the resourceVersion of its Service's endpoints."""
        (pod,) = got(up, "pods", "--selector", "app=unsteady")["items"]
        (since,) = (one["lastTransitionTime"] for one in pod["status"]["conditions"] if one["type"] == "Ready")
        (endpoints,) = got(up, "endpointslices", "--selector", "kubernetes.io/service-name=unsteady")["items"]
        assert endpoints["endpoints"][0]["conditions"]["ready"]
        return since, endpoints["metadata"]["resourceVersion"]

    try:
        up.kubectl("apply", "--filename", str(file))
        up.kubectl("rollout", "status", "deployment/unsteady", "--timeout=60s")
        time.sleep(2)  # the endpoints follow
        before = standing()
        time.sleep(97)
        assert standing() == before
        events = got(up, "events", "--field-selector", "reason=Unhealthy")["items"]
        assert any("503" in one["message"] for one in events if one["involvedObject"]["name"].startswith("unsteady"))
    finally:
        up.kubectl("delete", "--filename", str(file), "--ignore-not-found")


def test_service_account_tokens_are_signed_by_rsa(up: Application) -> None:
    header, *_ = up.kubectl("create", "token", "default").split(".")
    said = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    (key,) = json.loads(up.kubectl("get", "--raw", "/openid/v1/jwks"))["keys"]
    assert (said["alg"], key["kty"], key["alg"]) == ("RS256", "RSA", "RS256") and said["kid"] == key["kid"]


def test_scheduler_and_controller_manager_hold_leases(up: Application) -> None:
    holders = {
        one["metadata"]["name"]: one["spec"]["holderIdentity"]
        for one in got(up, "leases", "--namespace", "kube-system")["items"]
    }
    for part in ("kube-scheduler", "kube-controller-manager"):
        assert holders[part].startswith(up.names.node)


@pytest.mark.nightly
def test_image_of_a_node_is_used_after_a_pull_of_the_same_by_another_name(up: Application) -> None:
    """KEP-2535: the kubelet verifies an image that it has pulled, by its id, and no registry has the node's own."""
    pulled = tool("docker", "exec", up.names.node, "sh", "-c", "cat /var/lib/kubelet/image_manager/pulled/*")
    assert f"localhost:{up.registry}/app" in pulled, "busybox"
    traefik = ("--namespace", "sandbox-system")
    up.kubectl("delete", "pod", "--selector", "app=traefik", *traefik)
    up.kubectl("rollout", "status", "daemonset/traefik", "--timeout=60s", *traefik)
