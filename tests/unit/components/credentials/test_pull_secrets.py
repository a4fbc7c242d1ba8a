"""Secrets in a cluster by what its API server holds: what is kept, its copies, and the accounts that name them."""

from __future__ import annotations

import base64
import copy
import json
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.components.credentials import pull_secrets
from sandbox.components.credentials.pull_secrets import PullSecrets
from sandbox.components.credentials.registry_login import Login, Validity, matches
from sandbox.config.schema.credentials_schema import Docker, Ecr, Gcr
from sandbox.kube.api import ClusterError
from sandbox.names import SYSTEM_NAMESPACE, Names
from sandbox.oci.credential import Credential
from tests.support.api_server import ApiServer, Refused
from tests.unit.components.credentials.conftest import make_namespace

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOGIN = Login(
    {"docker.io": Credential("me", "canary-hub"), "gcr.io": Credential("it", "canary-gcr")},
    NOW,
    NOW + timedelta(hours=1),
)
GCR = Gcr(kind="gcr")
KEPT = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets/gcr-secret"
POLICY = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies/sandbox-credentials"


@pytest.fixture
def delivery(names: Names, server: ApiServer) -> PullSecrets:
    return PullSecrets.of(names)


def copies(server: ApiServer) -> set[str]:
    return {path for path in server.objects if "/secrets/" in path and SYSTEM_NAMESPACE not in path}


def named(server: ApiServer, namespace: str, account: str = "default") -> list[str]:
    found = server.objects[f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}"]
    return [one["name"] for one in found.get("imagePullSecrets", ())]


def expressions(server: ApiServer) -> list[str]:
    return [one["jsonPatch"]["expression"] for one in server.objects[POLICY]["spec"]["mutations"]]


def test_pods_of_every_namespace_of_the_users_have_it(server: ApiServer, delivery: PullSecrets) -> None:
    delivery.keep(GCR, LOGIN, "spec")
    assert delivery.pending() == "default has not the present Secret gcr-secret"
    delivery.spread()
    assert delivery.pending() is None
    assert copies(server) == {f"/api/v1/namespaces/{name}/secrets/gcr-secret" for name in ("default", "shop")}
    assert [named(server, name) for name in ("default", "shop", "kube-system")] == [["gcr-secret"]] * 2 + [[]]
    copy: dict[str, Any] = server.objects["/api/v1/namespaces/shop/secrets/gcr-secret"]
    assert copy["type"] == "kubernetes.io/dockerconfigjson"
    auths = json.loads(base64.b64decode(copy["data"][".dockerconfigjson"]))["auths"]
    assert auths.keys() == {"https://index.docker.io/v1/", "gcr.io"}
    assert auths["gcr.io"] == {
        "username": "it",
        "password": "canary-gcr",
        "auth": base64.b64encode(b"it:canary-gcr").decode(),
    }
    assert "canary" not in json.dumps({**copy, "data": {}}) + json.dumps({**server.objects[KEPT], "data": {}})
    server.objects["/api/v1/namespaces/shop/serviceaccounts/default"]["imagePullSecrets"] = [{"name": "own"}]
    assert delivery.pending() == "the service account shop/default does not name gcr-secret"


def test_kept_secret_describes_itself(delivery: PullSecrets) -> None:
    entry = Ecr(kind="ecr", region="eu-central-1", accounts=("123456789012",), namespaces=("shop",))
    delivery.keep(entry, LOGIN, "command")
    held = delivery.held()["awsecr-cred"]
    assert (held.entry, held.origin, held.validity) == (entry, "command", Validity(NOW, NOW + timedelta(hours=1)))
    assert held.registries == ("https://index.docker.io/v1/", "gcr.io")
    assert "canary" not in repr(held)


@pytest.mark.parametrize(
    ("note", "text"),
    [
        ("issued", "{}"),
        ("issued", "0001-01-01T00:00:00+00:00"),
        ("issued", "0001-01-01T00:00:00+12:00"),
        ("expires", "9999-12-31T23:59:59+00:00"),
    ],
)
def test_something_else_under_our_label_is_passed_over(
    server: ApiServer, delivery: PullSecrets, note: str, text: str
) -> None:
    delivery.keep(GCR, LOGIN, "spec")
    server.objects[KEPT]["metadata"]["annotations"][f"sandbox.dev/{note}"] = text
    assert delivery.held() == {}
    delivery.spread()
    assert copies(server) == set()


@pytest.mark.parametrize("auths", ["[1]", "5", "null", "[" * 5000])
def test_secret_without_accounts_is_passed_over(server: ApiServer, delivery: PullSecrets, auths: str) -> None:
    delivery.keep(GCR, LOGIN, "spec")
    server.objects[KEPT]["data"][".dockerconfigjson"] = base64.b64encode(f'{{"auths": {auths}}}'.encode()).decode()
    assert delivery.held() == {}


def test_only_named_namespaces_have_secret_and_their_accounts(server: ApiServer, delivery: PullSecrets) -> None:
    account: dict[str, Any] = {"kind": "ServiceAccount", "metadata": {"name": "robot", "namespace": "shop"}}
    account["imagePullSecrets"] = [{"name": "own"}]
    server.objects["/api/v1/namespaces/shop/serviceaccounts/robot"] = account
    delivery.keep(Gcr(kind="gcr", namespaces=("shop",)), LOGIN, "spec")
    delivery.spread()
    assert copies(server) == {"/api/v1/namespaces/shop/secrets/gcr-secret"}
    assert named(server, "shop", "robot") == ["own", "gcr-secret"]
    assert named(server, "shop") == ["gcr-secret"]
    assert named(server, "default") == []


def test_a_renewed_token_replaces_the_one_before_everywhere(server: ApiServer, delivery: PullSecrets) -> None:
    delivery.keep(GCR, LOGIN, "spec")
    delivery.spread()
    delivery.keep(GCR, Login({"gcr.io": Credential("it", "canary-newer")}, NOW), "spec")
    assert delivery.pending() is not None
    delivery.spread()
    data = {server.objects[path]["data"][".dockerconfigjson"] for path in copies(server)}
    assert data == {server.objects[KEPT]["data"][".dockerconfigjson"]}
    assert named(server, "shop") == ["gcr-secret"]


def test_forgotten_account_leaves_no_trace(server: ApiServer, delivery: PullSecrets) -> None:
    before = set(server.objects)
    delivery.keep(GCR, LOGIN, "spec")
    delivery.keep(Docker(kind="docker"), LOGIN, "spec")
    delivery.spread()
    assert len(expressions(server)) == 2
    delivery.forget(["gcr-secret"])
    assert delivery.pending() == "default still has the Secret gcr-secret"
    delivery.spread()
    assert named(server, "shop") == ["dpr-secret"]
    assert len(expressions(server)) == 1
    delivery.forget(["dpr-secret"])
    delivery.spread()
    assert set(server.objects) == {*before, f"/api/v1/namespaces/{SYSTEM_NAMESPACE}"}
    assert named(server, "shop") == []


def test_accounts_name_no_secret_that_leaves_their_namespace(server: ApiServer, delivery: PullSecrets) -> None:
    delivery.keep(GCR, LOGIN, "spec")
    delivery.keep(Docker(kind="docker"), LOGIN, "spec")
    delivery.spread()
    delivery.keep(Gcr(kind="gcr", namespaces=("default",)), LOGIN, "spec")
    delivery.keep(Docker(kind="docker", namespaces=("default",)), LOGIN, "spec")
    delivery.keep(Ecr(kind="ecr", region="eu-central-1", namespaces=("shop",)), LOGIN, "spec")
    delivery.spread()
    assert (named(server, "default"), named(server, "shop")) == (["gcr-secret", "dpr-secret"], ["awsecr-cred"])


def test_names_that_earlier_releases_left_are_removed(server: ApiServer, delivery: PullSecrets) -> None:
    """A Secret left the namespace, and its name stayed in an account; a user's own of that name stays."""
    delivery.keep(Gcr(kind="gcr", namespaces=("default",)), LOGIN, "spec")
    delivery.keep(Docker(kind="docker", namespaces=("default",)), LOGIN, "spec")
    delivery.spread()
    left = [{"name": "own"}, {"name": "gcr-secret"}, {"name": "dpr-secret"}]
    server.objects["/api/v1/namespaces/shop/serviceaccounts/default"]["imagePullSecrets"] = left
    server.objects["/api/v1/namespaces/shop/secrets/dpr-secret"] = {"kind": "Secret", "metadata": {}}
    assert delivery.pending() == "the service account shop/default names gcr-secret, which is gone"
    delivery.spread()
    assert (named(server, "shop"), delivery.pending()) == (["own", "dpr-secret"], None)


def test_a_namespace_that_is_ending_is_left_alone(server: ApiServer, delivery: PullSecrets) -> None:
    make_namespace(server, "going")
    server.objects["/api/v1/namespaces/going"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    delivery.keep(GCR, LOGIN, "spec")
    delivery.spread()
    assert delivery.pending() is None
    assert named(server, "going") == []


@pytest.mark.parametrize(("status", "ignored"), [(403, True), (404, True), (500, False)])
def test_errors_of_ending_namespaces_alone_are_ignored(
    server: ApiServer, delivery: PullSecrets, status: int, ignored: bool
) -> None:
    def admit(manifest: dict[str, Any]) -> dict[str, Any]:
        if manifest["metadata"].get("namespace") == "shop":
            raise Refused(status, "not now")
        return manifest

    server.admit = admit
    delivery.keep(GCR, LOGIN, "spec")
    with nullcontext() if ignored else pytest.raises(ClusterError):
        delivery.spread()
    assert copies(server) == {"/api/v1/namespaces/default/secrets/gcr-secret"}
    assert named(server, "default") == (["gcr-secret"] if ignored else [])


def test_account_that_got_a_name_before_the_copy_loses_it(server: ApiServer, delivery: PullSecrets) -> None:
    delivery.keep(GCR, LOGIN, "spec")
    account = server.objects["/api/v1/namespaces/shop/serviceaccounts/default"]
    account["imagePullSecrets"] = [{"name": "own"}, {"name": "gcr-secret"}]  # by the admission policy
    delivery.forget(["gcr-secret"])
    assert named(server, "shop") == ["own"]


def test_an_older_cluster_does_without_the_policy(server: ApiServer, delivery: PullSecrets) -> None:
    del server.kinds["/apis/admissionregistration.k8s.io/v1"]
    delivery.keep(GCR, LOGIN, "spec")
    delivery.spread()
    assert named(server, "shop") == ["gcr-secret"]
    delivery.forget(["gcr-secret"])
    delivery.spread()
    assert delivery.pending() is None


def test_the_policy_is_about_new_accounts_where_it_is_meant() -> None:
    policy, binding = pull_secrets.admission_policy([GCR, Docker(kind="docker", namespaces=("shop", SYSTEM_NAMESPACE))])
    (rule,) = policy["spec"]["matchConstraints"]["resourceRules"]
    assert (rule["resources"], rule["operations"]) == (["serviceaccounts"], ["CREATE"])
    first, second = (one["jsonPatch"]["expression"] for one in policy["spec"]["mutations"])
    assert first.startswith('!(request.namespace in ["kube-node-lease", "kube-public", "kube-system"')
    assert second.startswith('request.namespace in ["shop"] && ')
    assert binding["spec"]["policyName"] == policy["metadata"]["name"]


@pytest.mark.parametrize(
    ("pattern", "host", "same"),
    [
        ("gcr.io", "gcr.io", True),
        ("*.gcr.io", "eu.gcr.io", True),
        ("*.gcr.io", "gcr.io", False),
        ("*.gcr.io", "a.b.gcr.io", False),
        ("a.io:5000", "a.io:5000", True),
        ("a.io:5000", "a.io", False),
    ],
)
def test_hosts_match_as_the_kubelet_has_it(pattern: str, host: str, same: bool) -> None:
    assert matches(pattern, host) is same


def test_a_token_is_due_when_two_thirds_of_its_life_are_over() -> None:
    hour = Validity(NOW, NOW + timedelta(hours=1))
    assert not hour.is_due(NOW + timedelta(minutes=39))
    assert hour.is_due(NOW + timedelta(minutes=40))
    assert not Validity(NOW).is_due(NOW + timedelta(days=9999))


@pytest.mark.security(20)
def test_a_planted_secret_is_no_entry(names: Names, server: ApiServer, delivery: PullSecrets) -> None:
    """A pod writes a Secret with our label and an entry of its own → it is ignored and named; nothing is copied."""
    delivery.keep(GCR, LOGIN, "spec")
    planted = copy.deepcopy(server.objects[KEPT])
    planted["metadata"]["name"] = "planted"
    entry = Docker(kind="docker", secret="planted", namespaces=("shop",))
    planted["metadata"]["annotations"] |= {
        "sandbox.dev/entry": entry.model_dump_json(),
        "sandbox.dev/origin": "command",
    }
    server.objects[KEPT.replace("gcr-secret", "planted")] = planted
    assert delivery.held().keys() == {"gcr-secret"}
    assert delivery.ignored() == ("planted",)
    delivery.spread()
    assert copies(server) == {f"/api/v1/namespaces/{name}/secrets/gcr-secret" for name in ("default", "shop")}


@pytest.mark.security(20)
def test_a_changed_secret_goes_where_the_entry_says(server: ApiServer, delivery: PullSecrets) -> None:
    """A pod widens the namespaces of a kept Secret → those of the user's own list have it, and no others."""
    delivery.keep(Gcr(kind="gcr", namespaces=("shop",)), LOGIN, "spec")
    server.objects[KEPT]["metadata"]["annotations"]["sandbox.dev/namespaces"] = "*"
    server.objects[KEPT]["metadata"]["annotations"]["sandbox.dev/entry"] = GCR.model_dump_json()
    delivery.spread()
    assert copies(server) == {"/api/v1/namespaces/shop/secrets/gcr-secret"}
