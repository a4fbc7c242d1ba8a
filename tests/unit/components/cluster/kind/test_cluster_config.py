"""kind's configuration, by its meaning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.components.cluster.kind.cluster_config import (
    KUBEADM_PATCHES,
    PATCHES,
    REQUESTS,
    RESOLV_CONF,
    STATIC_POD_PATCHES,
    Tags,
    config,
    node_names,
)
from sandbox.config import loader
from sandbox.config.schema import Nodes, Spec

TAGS = Tags(etcd="3.6.16-0", coredns="v1.14.3")


def parsed(
    shape: str = "{}", *, cgroup_version: int = 2, tags: Tags | None = None
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The configuration, and its patches by kind."""
    spec = loader.parse(f"cluster: {shape}", Spec, origin="sandbox.yaml")
    mounts = {Path("/state/resolv.conf"): RESOLV_CONF}
    text = config("sandbox-demo", spec.cluster, mounts=mounts, cgroup_version=cgroup_version, tags=tags)
    content = yaml.safe_load(text)
    patches = [yaml.safe_load(patch) for patch in content["kubeadmConfigPatches"]]
    return content, {patch["kind"]: patch for patch in patches}


def test_single_node_config_has_our_nameservers() -> None:
    content, patches = parsed()
    assert (content["kind"], content["apiVersion"]) == ("Cluster", "kind.x-k8s.io/v1alpha4")
    assert content["name"] == "sandbox-demo"
    (node,) = content["nodes"]
    assert node["role"] == "control-plane"
    assert node["extraMounts"] == [{"hostPath": "/state/resolv.conf", "containerPath": RESOLV_CONF, "readOnly": True}]
    assert patches["KubeletConfiguration"]["resolvConf"] == RESOLV_CONF


def test_every_node_has_its_role_and_the_mounts() -> None:
    content, _ = parsed("{nodes: {control_plane: 3, workers: 2}, mounts: [{host: /src, node: /data, read_only: true}]}")
    assert [node["role"] for node in content["nodes"]] == ["control-plane"] * 3 + ["worker"] * 2
    for node in content["nodes"]:
        assert [mount["containerPath"] for mount in node["extraMounts"]] == [RESOLV_CONF, "/data"]
    assert content["nodes"][4]["extraMounts"][1] == {"hostPath": "/src", "containerPath": "/data", "readOnly": True}


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


def test_kubernetes_certificates_outlast_a_year_by_default() -> None:
    _, patches = parsed()
    assert patches["ClusterConfiguration"]["certificateValidityPeriod"] == "43800h"
    text = "'{kind: ClusterConfiguration, certificateValidityPeriod: 1h}'"
    content, _ = parsed(f"{{kind: {{kubeadmConfigPatches: [{text}]}}}}")
    said = [yaml.safe_load(patch).get("certificateValidityPeriod") for patch in content["kubeadmConfigPatches"]]
    assert [one for one in said if one] == ["43800h", "1h"], "what comes last wins"


@pytest.mark.parametrize(("control_planes", "elects"), [(1, ["false"]), (3, [])])
def test_only_a_lone_control_plane_holds_no_elections(control_planes: int, elects: list[str]) -> None:
    content, patches = parsed(f"{{nodes: {{control_plane: {control_planes}}}}}")
    scheduler = patches["ClusterConfiguration"]["scheduler"]["extraArgs"]
    manager = [one["value"] for one in yaml.safe_load(content["kubeadmConfigPatchesJSON6902"][0]["patch"])]
    for arguments in (scheduler, manager):
        assert [one["value"] for one in arguments if one["name"] == "leader-elect"] == elects


@pytest.mark.parametrize(("nodes", "free"), [("{control_plane: 3}", True), ("{control_plane: 3, workers: 1}", False)])
def test_control_planes_run_pods_where_there_are_no_workers(nodes: str, free: bool) -> None:
    patches = parsed(f"{{nodes: {nodes}}}")[1]
    for kind in ("InitConfiguration", "JoinConfiguration"):
        assert patches[kind].get("nodeRegistration") == ({"taints": []} if free else None)


def test_kubeadm_patches_are_named_by_what_they_change() -> None:
    """kubeadm, phases/patches: a file is called after its target."""
    assert parsed()[1]["InitConfiguration"]["patches"] == {"directory": str(PATCHES)}
    patches = {place.stem: yaml.safe_load(patch) for place, patch in KUBEADM_PATCHES.items()}
    assert patches.pop("corednsdeployment") == {"spec": {"replicas": 0}}
    assert patches.keys() == {"kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler"}
    for name, patch in patches.items():
        (container,) = patch["spec"]["containers"]
        assert (container["name"], container["resources"]) == (name, {"requests": {"cpu": REQUESTS[name]}})
        # A probe that kubeadm gives it no place to ask at would keep it from starting.
        assert ("readinessProbe" in container) == (name != "kube-controller-manager")


def test_nodes_are_called_as_kind_calls_them() -> None:
    nodes = Nodes(control_plane=2, workers=2)
    names = ("c-control-plane", "c-control-plane2", "c-worker", "c-worker2")
    assert node_names("c", nodes) == names


@pytest.mark.parametrize(("version", "patched"), [(1, {"failCgroupV1": False}), (2, {})])
def test_only_old_control_groups_are_asked_to_be_tolerated(version: int, patched: dict[str, bool]) -> None:
    kubelet = parsed(cgroup_version=version)[1]["KubeletConfiguration"]
    assert {key: value for key, value in kubelet.items() if key == "failCgroupV1"} == patched


@pytest.mark.parametrize("tags", [TAGS, None])
def test_images_on_nodes_are_used_without_a_pull(tags: Tags | None) -> None:
    """A pod has the same bytes pulled by another name → ours, which no registry serves, start all the same."""
    assert parsed(tags=tags)[1]["KubeletConfiguration"]["imagePullCredentialsVerificationPolicy"] == "NeverVerify"


@pytest.mark.parametrize(("version", "policy"), [("v1.34.4", None), ("v1.35.4", "NeverVerify")])
def test_kubelet_is_told_only_what_it_knows(version: str, policy: str | None) -> None:
    kubelet = parsed(f"{{kubernetes: {version}}}", tags=TAGS)[1]["KubeletConfiguration"]
    assert kubelet.get("imagePullCredentialsVerificationPolicy") == policy


def test_image_tags_are_ours_only_when_given() -> None:
    ours, theirs = parsed(tags=TAGS)[1]["ClusterConfiguration"], parsed()[1]["ClusterConfiguration"]
    assert ours["etcd"]["local"]["imageTag"] == "3.6.16-0"
    assert ours["dns"] == {"imageTag": "v1.14.3"}
    assert "imageTag" not in theirs["etcd"]["local"] and "dns" not in theirs


@pytest.mark.parametrize(("tags", "left_out"), [(TAGS, True), (None, None)])
def test_kind_s_network_is_left_out_with_our_image(tags: Tags | None, left_out: bool | None) -> None:
    content, _ = parsed(tags=tags)
    assert content["networking"].get("disableDefaultCNI") is left_out


def test_lone_etcd_elects_itself_at_once() -> None:
    local = parsed()[1]["ClusterConfiguration"]["etcd"]["local"]
    arguments = {one["name"]: int(one["value"]) for one in local["extraArgs"]}
    # etcd refuses an election timeout below five heartbeats (server/embed/config.go).
    assert arguments["election-timeout"] >= 5 * arguments["heartbeat-interval"]
    older = parsed("{kubernetes: v1.35.4}")[1]["ClusterConfiguration"]["etcd"]["local"]
    assert older["extraArgs"] == {name: str(value) for name, value in arguments.items()}


def test_etcd_of_the_bundle_is_not_told_of_elections() -> None:
    """It needs no short ones to lead at once (sandbox/bundle/recipes/etcd)."""
    local = parsed(tags=TAGS)[1]["ClusterConfiguration"]["etcd"]["local"]
    assert {one["name"] for one in local["extraArgs"]} == {"watch-progress-notify-interval"}


@pytest.mark.parametrize(("version", "envs"), [("v1.36.3", [{"name": "GOGC", "value": "50"}]), ("v1.35.8", None)])
def test_etcd_spares_memory_where_kubeadm_can_say_so(version: str, envs: list[dict[str, str]] | None) -> None:
    local = parsed(f"{{kubernetes: {version}}}", tags=TAGS)[1]["ClusterConfiguration"]["etcd"]["local"]
    assert local.get("extraEnvs") == envs


def test_pods_of_the_control_plane_share_a_shim() -> None:
    patches = map(json.loads, STATIC_POD_PATCHES.values())
    assert {one["metadata"]["annotations"]["io.containerd.runc.v2.group"] for one in patches} == {"sandbox"}


@pytest.mark.parametrize("name", ["kube-apiserver", "kube-controller-manager"])
def test_time_zones_of_cronjobs_are_those_of_the_node(name: str) -> None:
    """A CronJob's `timeZone` is checked by the API server and used by the controller; both read zoneinfo files."""
    pod = json.loads(STATIC_POD_PATCHES[f"{name}.yaml"])["spec"]
    (volume,), (mount,) = pod["volumes"], pod["containers"][0]["volumeMounts"]
    assert (mount["name"], mount["mountPath"]) == (volume["name"], "/usr/share/zoneinfo")
    assert volume["hostPath"] == {"path": "/usr/share/zoneinfo", "type": "DirectoryOrCreate"}


def test_several_etcds_keep_their_time_for_elections() -> None:
    patches = parsed("{nodes: {control_plane: 3}}")[1]
    assert "etcd" not in patches["ClusterConfiguration"]


@pytest.mark.parametrize("planes", [1, 3])
def test_etcd_of_the_bundle_tells_watches_rarely_of_nothing(planes: int) -> None:
    patches = parsed(f"{{nodes: {{control_plane: {planes}}}}}", tags=TAGS)[1]
    arguments = patches["ClusterConfiguration"]["etcd"]["local"]["extraArgs"]
    assert {"name": "watch-progress-notify-interval", "value": "60s"} in arguments


@pytest.mark.parametrize(("planes", "skipped"), [(1, ["preflight", "kubelet-finalize"]), (3, None)])
def test_kubeadm_restarts_no_kubelet_that_we_restart(planes: int, skipped: list[str] | None) -> None:
    init = parsed(f"{{nodes: {{control_plane: {planes}}}}}")[1]["InitConfiguration"]
    assert init.get("skipPhases") == skipped


def test_arguments_of_the_controllers_are_added_and_not_replaced() -> None:
    (patch,) = parsed()[0]["kubeadmConfigPatchesJSON6902"]
    assert (patch["group"], patch["version"], patch["kind"]) == ("kubeadm.k8s.io", "v1beta4", "ClusterConfiguration")
    operations = yaml.safe_load(patch["patch"])
    assert {one["op"] for one in operations} == {"add"}
    assert {one["path"] for one in operations} == {"/controllerManager/extraArgs/-"}
    assert all(isinstance(one["value"]["value"], str) for one in operations)


@pytest.mark.parametrize("version", ["v1.34.11", "v1.35.8"])
def test_older_kubernetes_is_configured_by_v1beta3(version: str) -> None:
    """kind writes kubeadm's v1beta3 below 1.36, where arguments are a mapping and keys have no choice of algorithm."""
    content, patches = parsed(f"{{kubernetes: {version}}}")
    assert patches["ClusterConfiguration"] == {
        "kind": "ClusterConfiguration",
        "scheduler": {"extraArgs": {"leader-elect": "false"}},
        "etcd": {"local": {"extraArgs": {"heartbeat-interval": "20", "election-timeout": "100"}}},
    }
    (patch,) = content["kubeadmConfigPatchesJSON6902"]
    assert patch["version"] == "v1beta3"
    added = {one["path"].rpartition("/")[2]: one["value"] for one in yaml.safe_load(patch["patch"])}
    assert added == {"leader-elect": "false", "kube-api-qps": "200", "kube-api-burst": "400"}
