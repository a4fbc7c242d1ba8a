"""kind's configuration by its meaning, and its command line by a program that plays its part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.components.cluster.kind.command import (
    KUBEADM_PATCHES,
    PATCHES,
    REQUESTS,
    RESOLV_CONF,
    SLOW,
    Kind,
    Tags,
    config,
    node_names,
)
from sandbox.config import loader
from sandbox.config.schema import Nodes, Spec
from sandbox.errors import MissingTool
from sandbox.system import process
from sandbox.system.process import ToolFailed

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


def test_lone_etcd_elects_itself_at_once() -> None:
    local = parsed()[1]["ClusterConfiguration"]["etcd"]["local"]
    arguments = {one["name"]: int(one["value"]) for one in local["extraArgs"]}
    # etcd refuses an election timeout below five heartbeats (server/embed/config.go).
    assert arguments["election-timeout"] >= 5 * arguments["heartbeat-interval"]
    older = parsed("{kubernetes: v1.35.4}")[1]["ClusterConfiguration"]["etcd"]["local"]
    assert older["extraArgs"] == {name: str(value) for name, value in arguments.items()}


def test_several_etcds_keep_their_time_for_elections() -> None:
    patches = parsed("{nodes: {control_plane: 3}}")[1]
    assert "etcd" not in patches["ClusterConfiguration"]


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


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it but the shell's own tools."""
    place = tmp_path / "bin"
    place.mkdir()
    monkeypatch.setenv("PATH", str(place))
    return place


def install(folder: Path, script: str) -> Path:
    program = folder / "kind"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("said", ["kind v0.32.0 go1.26.1 linux/amd64", "kind version 0.33.0", "kind v1.0.0-alpha+1"])
def test_a_kind_that_is_new_enough_will_do(folder: Path, said: str) -> None:
    install(folder, f"echo '{said}'")
    Kind.find("sandbox", bundled=None).require()


@pytest.mark.parametrize("said", ["kind v0.31.9 go1.26.1 linux/amd64", "kind (devel) go1.26.1 linux/amd64", "", "?"])
def test_a_kind_that_is_too_old_or_says_nothing_is_refused(folder: Path, said: str) -> None:
    program = install(folder, f"echo '{said}'")
    with pytest.raises(MissingTool) as caught:
        Kind.find("sandbox", bundled=None).require()
    assert caught.value.brief.startswith("kind is too old")
    assert str(program) in caught.value.details
    assert "0.32.0" in caught.value.fix


@pytest.mark.parametrize(
    ("system", "fix"),
    [("linux", "sandbox bundle build"), ("darwin", "brew install kind, or sandbox bundle build kind")],
)
def test_a_missing_kind_is_named_with_what_brings_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, system: str, fix: str
) -> None:
    monkeypatch.setattr("sys.platform", system)
    with pytest.raises(MissingTool) as caught:
        Kind.find("sandbox", bundled=None)
    assert fix in caught.value.fix


def test_the_bundle_s_kind_is_used_when_the_path_has_none(folder: Path, tmp_path: Path) -> None:
    extra = tmp_path / "bundle"
    extra.mkdir()
    program = install(extra, "echo v0.33.0")
    assert Kind.find("sandbox", bundled=program).program == program


def test_stack_and_progress_of_a_failing_kind_are_left_out(folder: Path, tmp_path: Path) -> None:
    progress = (
        "echo 'Creating cluster \"demo\" ...'; echo ' ✗ Starting'; echo 'Command Output: I1127 07:16:14.8 loading'"
    )
    words = "for n in 1 2 3; do echo line $n; echo I1127 07:16:14.9 GET; done; echo; echo Stack Trace:; echo main.go"
    kind = Kind(install(folder, f"{progress}; {words}; exit 1"), "sandbox")
    with pytest.raises(ToolFailed) as caught:
        kind.create("demo", image="i", config=tmp_path / "c", kubeconfig=tmp_path / "k", on_line=print)
    command, *said = caught.value.details.splitlines()
    assert command.startswith("$ ") and said == ["line 1", "line 2", "line 3"]


@pytest.mark.fault(19)
def test_a_node_that_takes_long_to_start_is_given_another_try(folder: Path, tmp_path: Path) -> None:
    """A busy machine: systemd takes longer than kind's half minute → kind is asked a second time, and it is said"""
    slow = f"[ -e {tmp_path}/tried ] || {{ : >{tmp_path}/tried; echo ERROR: {SLOW} systemd; exit 1; }}"
    kind = Kind(install(folder, f'echo "$1"; [ "$1" = delete ] || {slow}'), "sandbox")
    lines: list[str] = []
    kind.create("demo", image="i", config=tmp_path / "c", kubeconfig=tmp_path / "k", on_line=lines.append)
    assert lines == [
        "create",
        f"ERROR: {SLOW} systemd",
        "• The node's system takes long to start, so once more",
        "create",
    ]


def test_kind_s_balancer_is_the_image_that_the_sandbox_has(folder: Path, tmp_path: Path) -> None:
    (folder / "docker").write_text('#!/bin/sh\necho "$#: $*"\n')
    (folder / "docker").chmod(0o755)
    image = "docker.io/envoyproxy/envoy:v1.36.2"
    kind = Kind(install(folder, f"docker run -d {image} 'a  b'"), "sandbox", balancer="sandbox.dev/balancer:1")
    lines: list[str] = []
    kind.create("demo", image="i", config=tmp_path / "c", kubeconfig=tmp_path / "k", on_line=lines.append)
    assert lines == ["4: run -d sandbox.dev/balancer:1 a  b"]
    assert not list(tmp_path.glob(".kind-*"))


def test_kind_itself_misses_the_engine_s_command(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = Kind(
        install(folder, "command -v docker || echo there is none"), "sandbox", balancer="sandbox.dev/balancer:1"
    )
    monkeypatch.setattr(process, "which", lambda name: None)
    lines: list[str] = []
    kind.create("demo", image="i", config=tmp_path / "c", kubeconfig=tmp_path / "k", on_line=lines.append)
    assert not any(".kind-" in line for line in lines)


def test_kind_uses_the_podman_that_the_engine_is(folder: Path, tmp_path: Path) -> None:
    program = install(
        folder, 'echo "$CONTAINER_HOST $KIND_EXPERIMENTAL_PROVIDER $KIND_EXPERIMENTAL_PODMAN_NETWORK"; exit 1'
    )
    kind = Kind(program, "sandbox.demo", podman="unix:///run/podman.sock")
    lines: list[str] = []
    with pytest.raises(ToolFailed):
        kind.create("demo", image="i", config=tmp_path / "c", kubeconfig=tmp_path / "k", on_line=lines.append)
    assert lines == ["unix:///run/podman.sock podman sandbox.demo"]


def test_kind_uses_our_network_and_its_last_lines_are_evidence(folder: Path, tmp_path: Path) -> None:
    program = install(folder, 'echo "$KIND_EXPERIMENTAL_DOCKER_NETWORK $*"; exit 1')
    kind = Kind(program, "sandbox")
    lines: list[str] = []
    with pytest.raises(ToolFailed) as caught:
        kind.create("sandbox-demo", image="i", config=tmp_path / "c", kubeconfig=tmp_path / "k", on_line=lines.append)
    wanted = "sandbox create cluster --retain --name sandbox-demo --image i "
    wanted += f"--config {tmp_path}/c --kubeconfig {tmp_path}/k"
    assert lines == [wanted]
    assert wanted in caught.value.details
    for call in (kind.delete, kind.write_kubeconfig):
        with pytest.raises(ToolFailed, match="--name sandbox-demo --kubeconfig"):
            call("sandbox-demo", kubeconfig=tmp_path / "k")
