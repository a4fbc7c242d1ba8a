"""How a cluster is told of the registry, read as containerd and other tools read it."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path, PurePosixPath

import yaml

from sandbox.components.cluster.containerd_hosts import LISTING, host_file, host_files, hosting, read_listing, service


def test_every_registry_name_routes_to_its_endpoint() -> None:
    found = host_files(("localhost:5001", "reg:5000"), "http://reg:5000")
    folder = PurePosixPath("/etc/containerd/certs.d")
    assert set(found) == {folder / "localhost:5001" / "hosts.toml", folder / "reg:5000" / "hosts.toml"}
    for content in found.values():
        assert tomllib.loads(content.decode()) == {
            "server": "http://reg:5000",
            "host": {"http://reg:5000": {"capabilities": ["pull", "resolve"]}},
        }
    path, content = host_file("docker.io", "http://mirror:5000", server="https://registry-1.docker.io")
    assert path.parent.name == "docker.io"
    assert tomllib.loads(content.decode())["server"] == "https://registry-1.docker.io", "asked after the mirror"


def test_all_files_of_a_node_are_read_by_one_program(tmp_path: Path) -> None:
    written = {tmp_path / path.relative_to("/"): data for path, data in host_files(("a:1", "b"), "http://c").items()}
    for path, data in written.items():
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    *argv, folder = LISTING
    shown = subprocess.run([*argv, str(tmp_path / folder.lstrip("/"))], capture_output=True, text=True, check=True)
    assert read_listing(shown.stdout) == {PurePosixPath(path): data for path, data in written.items()}


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
