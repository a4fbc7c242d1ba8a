"""What unit tests believe of the Kubernetes API holds for their small server and for the real one, over an etcd."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.kube import deletion
from sandbox.kube.api import Cluster, ClusterError
from sandbox.names import LABEL
from tests.contract import api_servers


@pytest.fixture(scope="module", params=["memory", pytest.param("server", marks=pytest.mark.real)])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    serving = api_servers.memory if request.param == "memory" else api_servers.real
    with serving(tmp_path_factory.mktemp("api")) as config:
        yield Cluster(config)


@pytest.fixture
def space(request: pytest.FixtureRequest, cluster: Cluster) -> str:
    name = request.function.__name__.removeprefix("test_").replace("_", "-")
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return str(name)


def config(name: str, namespace: str, data: dict[str, str] | None = None, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "data": data or {},
    }


def data(cluster: Cluster, name: str, namespace: str) -> Any:
    """What a ConfigMap holds; None if there is none."""
    found = cluster.get("v1", "ConfigMap", name, namespace)
    return found and found.get("data", {})


def listed(cluster: Cluster, namespace: str | None, selector: str = "") -> list[str]:
    found = cluster.list("v1", "ConfigMap", namespace, selector=selector)
    assert all(one["kind"] == "ConfigMap" for one in found)
    return sorted(one["metadata"]["name"] for one in found)


def test_object_comes_changes_and_goes(cluster: Cluster, space: str) -> None:
    assert cluster.trouble() is None
    assert data(cluster, "a", space) is None
    for wanted in ({"one": "1", "two": "2"}, {"two": "3"}):
        cluster.apply(config("a", space, wanted))
        assert data(cluster, "a", space) == wanted
    for _ in range(2):
        cluster.delete("v1", "ConfigMap", "a", space)
        assert data(cluster, "a", space) is None


def test_objects_are_listed_by_namespace_and_label(cluster: Cluster, space: str) -> None:
    mine, theirs = {LABEL: "mine", "seen": ""}, {LABEL: "theirs"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"{space}-2"}})
    cluster.apply_all([config("a", space, labels=mine), config("b", space, labels=theirs)])
    cluster.apply_all([config("c", space), config("d", f"{space}-2", labels=mine)])
    assert listed(cluster, space) == ["a", "b", "c"]
    assert listed(cluster, space, LABEL) == ["a", "b"]
    assert listed(cluster, space, f"{LABEL}=mine") == ["a"]
    assert listed(cluster, space, f"{LABEL}=mine,seen") == ["a"]
    assert listed(cluster, None, f"{LABEL}=mine") == ["a", "d"]
    assert listed(cluster, space, f"{LABEL} notin (mine, other)") == ["b", "c"]
    assert listed(cluster, space, f"{LABEL} notin (other, mine),{LABEL}") == ["b"]


def test_kinds_are_read_with_their_paths(cluster: Cluster) -> None:
    known = {one.kind: one for one in cluster.resources("v1")}
    assert (known["Secret"].plural, known["Secret"].namespaced, known["Namespace"].namespaced) == (
        "secrets",
        True,
        False,
    )
    assert known["Secret"].verbs >= {"get", "list", "patch", "delete"} and "Scale" not in known
    assert cluster.resources("nothing.test/v1") == ()
    assert cluster.groups()[0] == "v1" and "apps/v1" in cluster.groups()
    with pytest.raises(ClusterError, match="knows no Nothing in v1") as caught:
        cluster.list("v1", "Nothing")
    assert caught.value.status == 404


def test_merge_patch_changes_what_it_names(cluster: Cluster, space: str) -> None:
    cluster.apply(config("a", space, {"one": "1", "two": "2"}, annotations={"kept": "yes"}))
    cluster.change(config("a", space), {"metadata": {"annotations": {"new": "yes"}}})
    cluster.change(config("a", space), {"data": {"one": None, "three": "3"}})
    found = cluster.get("v1", "ConfigMap", "a", space)
    assert found is not None and found["data"] == {"two": "2", "three": "3"}
    assert found["metadata"]["annotations"].items() >= {"kept": "yes", "new": "yes"}.items()
    with pytest.raises(ClusterError) as caught:
        cluster.change(config("none", space), {"metadata": {"annotations": {"new": "yes"}}})
    assert caught.value.status == 404 and data(cluster, "none", space) is None


def test_rehearsal_changes_nothing(cluster: Cluster, space: str) -> None:
    cluster.apply(config("a", space, {"k": "before"}))
    for name, there in (("a", {"k": "before"}), ("b", None)):
        assert cluster.rehearse(config(name, space, {"k": "after"}))["data"] == {"k": "after"}
        assert data(cluster, name, space) == there


def test_object_with_a_finalizer_stays_until_that_has_gone(cluster: Cluster, space: str) -> None:
    wanted = config("a", space, finalizers=["tests.invalid/held"])
    cluster.apply(wanted)
    cluster.delete("v1", "ConfigMap", "a", space)
    live = cluster.live(wanted)
    assert live is not None and deletion.is_leaving(live)
    assert deletion.is_leaving(cluster.rehearse(wanted))
    cluster.change(wanted, {"metadata": {"finalizers": None}})
    assert cluster.live(wanted) is None


def test_tokens_are_of_the_account_and_end_in_time(cluster: Cluster, space: str) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot", "namespace": space}}
    cluster.apply(account)
    payload = cluster.token("robot", space, seconds=600).split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    live = cluster.live(account) or {}
    assert claims["kubernetes.io"]["serviceaccount"]["uid"] == live["metadata"].get("uid", "")
    assert 0 < claims["exp"] - time.time() <= 601
    with pytest.raises(ClusterError) as caught:
        cluster.token("none", space, seconds=600)
    assert caught.value.status == 404


def test_rights_are_read(cluster: Cluster, space: str) -> None:
    assert cluster.may("create", "", "pods/portforward", space) and cluster.may("list", "apps", "deployments", None)
