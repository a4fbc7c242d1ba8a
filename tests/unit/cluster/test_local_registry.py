"""How a cluster is told of the registry, read as containerd and other tools read it."""

from __future__ import annotations

import tomllib
from pathlib import PurePosixPath

import yaml

from sandbox.cluster.local_registry import host_files, hosting, service


def test_every_name_of_the_registry_leads_to_its_endpoint() -> None:
    found = host_files(("localhost:5001", "reg:5000"), "http://reg:5000")
    folder = PurePosixPath("/etc/containerd/certs.d")
    assert set(found) == {folder / "localhost:5001" / "hosts.toml", folder / "reg:5000" / "hosts.toml"}
    for content in found.values():
        assert tomllib.loads(content.decode()) == {
            "server": "http://reg:5000",
            "host": {"http://reg:5000": {"capabilities": ["pull", "resolve"]}},
        }


def test_tools_find_the_registry_as_kep_1755_says() -> None:
    found = hosting(host="localhost:5001", container_runtime="reg:5000", cluster_network="reg.ns.svc:5000")
    assert (found["metadata"]["name"], found["metadata"]["namespace"]) == ("local-registry-hosting", "kube-public")
    fields = yaml.safe_load(found["data"]["localRegistryHosting.v1"])
    assert fields.pop("help").startswith("https://")
    assert fields == {
        "host": "localhost:5001",
        "hostFromContainerRuntime": "reg:5000",
        "hostFromClusterNetwork": "reg.ns.svc:5000",
    }


def test_pods_resolve_the_registry_by_a_service_without_selector() -> None:
    one, endpoints = service("ns", address="172.18.0.2", port=5000)
    assert "selector" not in one["spec"]
    assert endpoints["metadata"]["labels"]["kubernetes.io/service-name"] == one["metadata"]["name"]
    assert one["metadata"]["namespace"] == endpoints["metadata"]["namespace"] == "ns"
    assert endpoints["endpoints"] == [{"addresses": ["172.18.0.2"]}]
    # A port's name is what joins the two.
    assert endpoints["ports"] == one["spec"]["ports"]
