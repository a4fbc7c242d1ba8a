"""Objects in an API version that no cluster has are refused before anything is made; what may yet come is not."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.components.workloads import gone_kinds
from sandbox.errors import BadFile

DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "jobs.batch.k8s.io"},
    "spec": {"group": "batch.k8s.io", "names": {"kind": "Job"}},
}


def one(version: str, kind: str) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "web"}}


@pytest.mark.fault(99)
@pytest.mark.parametrize(
    ("version", "kind", "right"),
    [
        ("extensions/v1beta1", "Ingress", "networking.k8s.io/v1"),
        ("network.k8s.io/v1", "Ingress", "networking.k8s.io/v1"),
        ("v1", "Deployment", "apps/v1"),
        ("app/v1", "Deployment", "apps/v1"),
        ("batch/v1beta1", "CronJob", "batch/v1"),
        ("rbac.authorization.k8s.io/v1beta1", "ClusterRole", "rbac.authorization.k8s.io/v1"),
    ],
)
def test_version_that_no_cluster_has_is_refused(version: str, kind: str, right: str) -> None:
    """An Ingress of extensions/v1beta1, a Deployment of v1 → refused with the version to write, nothing is made."""
    with pytest.raises(BadFile, match=f"^{kind} web: no cluster has the kind {kind} in {version}$") as caught:
        gone_kinds.require([one("v1", "Pod"), one(version, kind)], None)
    assert f"`apiVersion: {right}`" in caught.value.fix


@pytest.mark.parametrize(
    ("version", "kind", "right"),
    [
        ("apps/v1", "Deploymnt", "`kind: Deployment` and `apiVersion: apps/v1`"),
        ("v1", "Services", "`kind: Service` and `apiVersion: v1`"),
        ("extensions/v1beta1", "Ingres", "`kind: Ingress` and `apiVersion: networking.k8s.io/v1`"),
    ],
)
def test_mistyped_kind_is_refused_with_the_right_name(version: str, kind: str, right: str) -> None:
    with pytest.raises(BadFile, match=f"no cluster has the kind {kind} in {version}$") as caught:
        gone_kinds.require([one(version, kind)], None)
    assert right in caught.value.fix


def test_old_cluster_is_asked_itself() -> None:
    gone_kinds.require([one("batch/v1beta1", "CronJob")], "v1.24.17")
