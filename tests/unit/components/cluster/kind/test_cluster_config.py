"""kind's configuration, by its meaning."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from sandbox.components.cluster.kind.cluster_config import RESOLV_CONF, Tags, config
from sandbox.config import loader
from sandbox.config.schema import Spec

TAGS = Tags(etcd="3.6.16-0", coredns="v1.14.3")


def parsed(
    shape: str = "{}", *, cgroup_version: int = 2, tags: Tags | None = None
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    spec = loader.validated(loader.read(f"cluster: {shape}", origin="sandbox.yaml"), Spec, origin="sandbox.yaml")
    text = config("sandbox-demo", spec.cluster, cgroup_version=cgroup_version, tags=tags)
    content = yaml.safe_load(text)
    patches = [yaml.safe_load(patch) for patch in content["kubeadmConfigPatches"]]
    return content, {patch["kind"]: patch for patch in patches}


def test_every_node_has_its_role_and_the_mounts() -> None:
    content, _ = parsed("{nodes: {control_plane: 3, workers: 2}, mounts: [{host: /src, node: /data, read_only: true}]}")
    assert [node["role"] for node in content["nodes"]] == ["control-plane"] * 3 + ["worker"] * 2
    for node in content["nodes"]:
        assert node["extraMounts"] == [{"hostPath": "/src", "containerPath": "/data", "readOnly": True}]


def test_user_kind_settings_are_passed_on_last() -> None:
    content, patches = parsed(
        "{ip_family: dual, feature_gates: {ContainerCheckpoint: false}, kind: {networking: {kubeProxyMode: nftables}, "
        "runtimeConfig: {api/all: 'true'}, kubeadmConfigPatches: ['{kind: KubeletConfiguration, maxPods: 50}'], "
        "containerdConfigPatches: ['version = 3']}}"
    )
    assert content["networking"] == {"ipFamily": "dual", "kubeProxyMode": "nftables"}
    assert content["featureGates"] == {"ContainerCheckpoint": False}
    assert content["runtimeConfig"] == {"api/all": "true"}
    assert content["containerdConfigPatches"] == ["version = 3"]
    assert patches["KubeletConfiguration"] == {"kind": "KubeletConfiguration", "maxPods": 50}


@pytest.mark.parametrize(("nodes", "free"), [("{control_plane: 3}", True), ("{control_plane: 3, workers: 1}", False)])
def test_control_planes_run_pods_where_there_are_no_workers(nodes: str, free: bool) -> None:
    patches = parsed(f"{{nodes: {nodes}}}")[1]
    untainted = {kind: patch["nodeRegistration"] for kind, patch in patches.items() if "nodeRegistration" in patch}
    both: dict[str, Any] = {kind: {"taints": []} for kind in ("InitConfiguration", "JoinConfiguration")}
    assert untainted == (both if free else {})


@pytest.mark.parametrize(("version", "patched"), [(1, {"failCgroupV1": False}), (2, {})])
def test_cgroup_v1_is_allowed_only_where_the_engine_has_it(version: int, patched: dict[str, bool]) -> None:
    kubelet = parsed(cgroup_version=version)[1]["KubeletConfiguration"]
    assert kubelet == {"kind": "KubeletConfiguration", "resolvConf": RESOLV_CONF, **patched}


def test_image_tags_are_kubeadms_unless_given() -> None:
    ours = parsed(tags=TAGS)[1]["ClusterConfiguration"]
    assert (ours["etcd"], ours["dns"]) == ({"local": {"imageTag": "3.6.16-0"}}, {"imageTag": "v1.14.3"})
    assert "ClusterConfiguration" not in parsed()[1]
