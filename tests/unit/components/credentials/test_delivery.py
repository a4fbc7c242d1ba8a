"""Logins on nodes and in Secrets, by what an engine and an API server in memory have."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from sandbox.components.credentials.login_delivery import FILE, PodLogin
from sandbox.components.credentials.pod_credentials import PodCredentials
from sandbox.components.credentials.registry_login import Login
from sandbox.config.schema.credentials_schema import Credentials, Docker, Gcr
from sandbox.errors import SandboxError
from sandbox.names import Names
from sandbox.oci.credential import Credential
from tests.support.api_server import ApiServer
from tests.support.fakes import FakeEngine
from tests.support.memory_nodes import Nodes
from tests.unit.components.credentials.conftest import Systemd, make_namespace

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HUB = "https://index.docker.io/v1/"
GCR = Gcr(kind="gcr")
DOCKER = Docker(kind="docker")
SHOP_ONLY = Gcr(kind="gcr", namespaces=("shop",))
POLICY = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies/sandbox-credentials"


def fresh(entry: Credentials, word: str = "canary", **accounts: str) -> dict[PodLogin, Login]:
    hosts = accounts or {"gcr.io": "it", "docker.io": "me"}
    expires = NOW + timedelta(hours=1)
    login = Login({host: Credential(user, word) for host, user in hosts.items()}, NOW, expires)
    registries = tuple(hosts)
    return {PodLogin(entry=entry, origin="spec", issued=NOW, expires=expires, registries=registries, file=""): login}


def written(node: FakeEngine, name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(node.boxes[name].files[FILE])
    return found


def named(server: ApiServer, namespace: str, account: str = "default") -> list[str]:
    found = server.objects[f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}"]
    return [one["name"] for one in found.get("imagePullSecrets", ())]


def secrets(server: ApiServer) -> set[str]:
    return {path.removeprefix("/api/v1/namespaces/") for path in server.objects if "/secrets/" in path}


def test_login_of_all_namespaces_is_in_the_kubelets_file_and_renewed_without_a_restart(
    pods: PodCredentials, node: FakeEngine, names: Names, server: ApiServer
) -> None:
    pods.deliver(fresh(GCR))
    assert pods.pending() is None
    auths = written(node, names.node)["auths"]
    assert auths.keys() == {"gcr.io", HUB}
    basic = base64.b64encode(b"it:canary").decode()
    assert auths["gcr.io"] == {"username": "it", "password": "canary", "auth": basic}
    assert node.boxes[names.node].modes[FILE] == 0o600
    assert secrets(server) == set()
    pods.deliver(fresh(DOCKER, **{"quay.io": "me"}))
    pods.deliver(fresh(GCR, "canary-newer", **{"gcr.io": "it"}), at_once=False)
    auths = written(node, names.node)["auths"]
    passwords = {host: account["password"] for host, account in auths.items()}
    assert passwords == {"quay.io": "canary", "gcr.io": "canary-newer"}
    assert cast("Systemd", node.programs["systemctl"]).restarts == 2


def test_logins_are_in_the_kubelets_file_on_every_node_until_all_are_removed(
    pods: PodCredentials, node: FakeEngine, names: Names
) -> None:
    pods.deliver(fresh(GCR, **{"gcr.io": "it"}))
    worker = Nodes(node).add(names, f"{names.cluster}-worker")
    grown = replace(pods, nodes=lambda: (names.node, worker.spec.name))
    assert grown.pending() == f"{FILE} on {worker.spec.name} does not have the present logins"
    grown.deliver(fresh(DOCKER, **{"quay.io": "me"}))
    assert grown.pending() is None
    assert worker.files[FILE] == node.boxes[names.node].files[FILE]
    grown.forget(["gcr-secret"])
    assert written(node, names.node)["auths"].keys() == {"quay.io"}
    cast("Systemd", node.programs["systemctl"]).broken = True
    with pytest.raises(SandboxError, match=r"the kubelet of .* cannot be restarted") as caught:
        grown.forget(["dpr-secret"])
    assert caught.value.details == "Job failed"
    assert FILE not in node.boxes[names.node].files
    assert grown.logins() == {}


@pytest.mark.parametrize("content", [b'{"auths": {"mine": {}}}', b"[]", b"no JSON"])
def test_file_of_the_users_own_is_refused(pods: PodCredentials, node: FakeEngine, names: Names, content: bytes) -> None:
    node.boxes[names.node].files[FILE] = content
    with pytest.raises(SandboxError, match="is not from a sandbox"):
        pods.deliver(fresh(GCR))
    assert node.boxes[names.node].files[FILE] == content


def test_login_of_named_namespaces_is_limited_to_them(
    pods: PodCredentials, node: FakeEngine, names: Names, server: ApiServer
) -> None:
    account: dict[str, Any] = {"kind": "ServiceAccount", "metadata": {"name": "robot", "namespace": "shop"}}
    account["imagePullSecrets"] = [{"name": "own"}]
    server.objects["/api/v1/namespaces/shop/serviceaccounts/robot"] = account
    pods.deliver(fresh(SHOP_ONLY))
    assert pods.pending() is None
    assert FILE not in node.boxes[names.node].files
    assert secrets(server) == {"shop/secrets/gcr-secret"}
    secret = server.objects["/api/v1/namespaces/shop/secrets/gcr-secret"]
    assert secret["type"] == "kubernetes.io/dockerconfigjson"
    assert json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))["auths"].keys() == {"gcr.io", HUB}
    assert (named(server, "shop", "robot"), named(server, "shop")) == (["own", "gcr-secret"], ["gcr-secret"])
    assert named(server, "default") == []


def test_login_leaves_namespaces_that_are_no_longer_named(pods: PodCredentials, server: ApiServer) -> None:
    pods.deliver(fresh(Gcr(kind="gcr", namespaces=("shop", "default"))))
    account = server.objects["/api/v1/namespaces/shop/serviceaccounts/default"]
    account["imagePullSecrets"] = [{"name": "own"}, {"name": "gcr-secret"}]
    pods.deliver(fresh(Gcr(kind="gcr", namespaces=("default",))))
    assert secrets(server) == {"default/secrets/gcr-secret"}
    assert (named(server, "default"), named(server, "shop")) == (["gcr-secret"], ["own"])
    pods.deliver(fresh(GCR))
    assert secrets(server) == set()
    assert pods.pending() is None


def test_pending_names_what_is_missing(pods: PodCredentials, server: ApiServer) -> None:
    pods.deliver(fresh(SHOP_ONLY))
    server.objects["/api/v1/namespaces/shop/serviceaccounts/default"]["imagePullSecrets"] = []
    assert pods.pending() == "the service account shop/default does not name gcr-secret"
    secret = server.objects.pop("/api/v1/namespaces/shop/secrets/gcr-secret")
    assert pods.pending() == "shop does not have the present Secret gcr-secret"
    pods.deliver(fresh(SHOP_ONLY))
    stray = {**secret, "metadata": {**secret["metadata"], "namespace": "default"}}
    server.objects["/api/v1/namespaces/default/secrets/gcr-secret"] = stray
    assert pods.pending() == "default still has the Secret gcr-secret"


def test_policy_is_for_later_service_accounts_of_named_namespaces(pods: PodCredentials, server: ApiServer) -> None:
    pods.deliver({**fresh(SHOP_ONLY), **fresh(DOCKER)})
    spec = server.objects[POLICY]["spec"]
    (rule,) = spec["matchConstraints"]["resourceRules"]
    assert (rule["resources"], rule["operations"]) == (["serviceaccounts"], ["CREATE"])
    (mutation,) = spec["mutations"]
    assert mutation["jsonPatch"]["expression"].startswith('request.namespace in ["shop"] && ')
    binding = server.objects[f"{POLICY.replace('policies', 'policybindings')}"]
    assert binding["spec"] == {"policyName": "sandbox-credentials"}
    del server.kinds["/apis/admissionregistration.k8s.io/v1"]  # as in older clusters
    pods.forget(["gcr-secret"])
    pods.deliver(fresh(SHOP_ONLY))
    assert named(server, "shop") == ["gcr-secret"]


@pytest.mark.security(20)
def test_planted_secret_is_no_entry(pods: PodCredentials, node: FakeEngine, names: Names, server: ApiServer) -> None:
    """A pod writes a Secret with our label → no login is requested for it, and none leaves its namespaces."""
    pods.deliver(fresh(SHOP_ONLY))
    make_namespace(server, "attackers")
    secret = server.objects["/api/v1/namespaces/shop/secrets/gcr-secret"]
    planted = {**secret, "metadata": {**secret["metadata"], "name": "planted", "namespace": "attackers"}}
    server.objects["/api/v1/namespaces/attackers/secrets/planted"] = planted
    assert pods.pending() is None
    pods.deliver(fresh(SHOP_ONLY))
    assert secrets(server) == {"shop/secrets/gcr-secret", "attackers/secrets/planted"}
    assert FILE not in node.boxes[names.node].files
