"""The objects of a new cluster that do not wait for kubeadm."""

from __future__ import annotations

import json

from sandbox.components.cluster import dns
from sandbox.components.cluster.kind import first_objects

COREFILE = ".:53 {\n}\n"


def test_first_objects_are_the_corefile_and_accounts_without_rights() -> None:
    first, *others = json.loads(first_objects.files(COREFILE)[first_objects.OBJECTS])["items"]
    assert first == dns.config_map(COREFILE)
    assert {account["kind"] for account in others} == {"ServiceAccount"}
    assert "replicaset-controller" in {account["metadata"]["name"] for account in others}


def test_kubeadm_creates_coredns_as_the_dns_step_wants_it() -> None:
    patch = first_objects.files(COREFILE)[first_objects.PATCHES / "corednsdeployment.json"]
    assert json.loads(patch) == dns.deployment(COREFILE)
