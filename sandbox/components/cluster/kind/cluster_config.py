"""The configuration that a kind cluster is made with, kubeadm's part of it included (kind.x-k8s.io/v1alpha4)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml

from sandbox.config import schema
from sandbox.names import SHIM, SPARING

# The first Kubernetes that kind describes by kubeadm's v1beta4 (kind 0.33, kubeadm/config.go: Config).
NEW_KUBEADM = (1, 36)
# The first whose kubelet may be told whether to verify images that are there (KEP-2535, beta).
VERIFYING = (1, 35)
RESOLV_CONF = "/etc/kubernetes/pod-resolv.conf"
# Where kubeadm looks for patches: a folder that every node has, for one that is not there would be an error.
PATCHES = PurePosixPath("/kind")
# Of a machine with two cores Kubernetes' own parts would request a third, and user manifests that fit a cloud's node
# would not be scheduled.
REQUESTS = {"kube-apiserver": "100m", "etcd": "50m", "kube-controller-manager": "50m", "kube-scheduler": "20m"}
# By default one image after the other, although the registry is next door.
PULLS: dict[str, object] = {"serializeImagePulls": False, "maxParallelImagePulls": 4}
# kubeadm has them asked every second whether they are ready; the API server asks etcd in turn.
ASKED_SELDOM = ("kube-apiserver", "etcd", "kube-scheduler")
SELDOM = {"readinessProbe": {"periodSeconds": 5}}
# What knows the time zones of CronJobs by the node's files, for the bundle's programs have none of their own.
ZONED = ("kube-apiserver", "kube-controller-manager")
ZONES = "/usr/share/zoneinfo"


def _static_pod(name: str, cpu: str) -> bytes:
    """Return a patch (kubeadm.k8s.io/v1beta4, Patches) for one of the control plane's pods."""
    container: dict[str, object] = {"name": name, "resources": {"requests": {"cpu": cpu}}}
    container |= SELDOM if name in ASKED_SELDOM else {}
    pod: dict[str, object] = {"containers": [container]}
    if name in ZONED:
        container |= {"volumeMounts": [{"name": "zones", "mountPath": ZONES, "readOnly": True}]}
        pod |= {"volumes": [{"name": "zones", "hostPath": {"path": ZONES, "type": "DirectoryOrCreate"}}]}
    return json.dumps({"metadata": {"annotations": SHIM}, "spec": pod}).encode()


# CoreDNS, which as it comes asks the nameservers of its own accord, is not started: it would be restarted soon anyway.
STATIC_POD_PATCHES = {f"{name}.yaml": _static_pod(name, cpu) for name, cpu in REQUESTS.items()}
KUBEADM_PATCHES = {
    PATCHES / "corednsdeployment.yaml": b"{spec: {replicas: 0}}\n",
    **{PATCHES / name: text for name, text in STATIC_POD_PATCHES.items()},
}
TIMEOUTS = {"kubernetesAPICall": "4m0s", "tlsBootstrap": "5m0s"}
# kind's defaults, which the sandbox keeps.
PODS, SERVICES = "10.244.0.0/16", "10.96.0.0/16"


# A kubelet that starts before containerd listens gives up, and is started again a second later.
KUBELET_LAST = {
    PurePosixPath("/etc/systemd/system/kubelet.service.d/20-sandbox.conf"): b"[Unit]\nAfter=containerd.service\n"
}
# A lone control plane has no rival, and one that starts again would wait 15 seconds for its own lease to end.
ALONE = {"leader-elect": "false"}
# After a refusal while RBAC is not set up yet, ask again soon.
SEVERAL = {"leader-elect-retry-period": "500ms"}
# A lone etcd waits for rivals, too: up to twice the election timeout of a second. Five heartbeats are the least. The
# bundle's does not wait, so that its heart need not beat fifty times a second while nothing happens.
ELECTION = {"heartbeat-interval": "20", "election-timeout": "100"}  # milliseconds
# How often etcd tells each of the API server's seventy watches that nothing happened: kubeadm sets five seconds. An API
# server that waits for it asks (KEP-2340), and history stays for five minutes. Only the bundle's etcd surely knows it.
QUIET = {"watch-progress-notify-interval": "60s"}
# kind leaves preflight out. The other restarts the kubelet at the end, which the sandbox does sooner, if at all
# (early_start).
SKIPPED = ["preflight", "kubelet-finalize"]
# kubeadm's own certificates end after a year by default, and the cluster with them.
YEARS = f"{5 * 365 * 24}h"
# The controllers start one after another, each with calls that the default of 20 a second holds up for seconds.
QUOTA = {"kube-api-qps": "200", "kube-api-burst": "400"}


@dataclass(frozen=True)
class Tags:
    """The image tags that kubeadm is to use with our node image, where they differ from its own defaults."""

    etcd: str
    coredns: str


def config(
    name: str, shape: schema.Cluster, *, mounts: Mapping[Path, str], cgroup_version: int, tags: Tags | None
) -> str:
    """Return the kind configuration (kind.x-k8s.io/v1alpha4) of a cluster whose pods use our nameservers.

    `mounts` are files of this machine, RESOLV_CONF among them, by their places in every node.
    """
    more = shape.kind or schema.KindOptions()
    extra = [_mount(path, place, read_only=True) for path, place in mounts.items()]
    extra += [_mount(one.host, one.node, read_only=one.read_only) for one in shape.mounts]
    roles = ["control-plane"] * shape.nodes.control_plane + ["worker"] * shape.nodes.workers
    network = {"disableDefaultCNI": True} if tags else {}  # our image brings one
    kubeadm = (*_by_node(shape), _kubelet(shape, cgroup_version), _control_plane(shape, tags))
    content = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "name": name,
        "networking": {"ipFamily": shape.ip_family} | network | more.networking.model_dump(exclude_none=True),
        "featureGates": dict(shape.feature_gates),
        "runtimeConfig": dict(more.runtimeConfig),
        "nodes": [{"role": role, "extraMounts": extra} for role in roles],
        # What the user wants comes last, and so wins.
        "kubeadmConfigPatches": [*map(yaml.safe_dump, kubeadm), *more.kubeadmConfigPatches],
        "kubeadmConfigPatchesJSON6902": [
            _controller_arguments(shape),
            *(one.model_dump() for one in more.kubeadmConfigPatchesJSON6902),
        ],
        "containerdConfigPatches": list(more.containerdConfigPatches),
    }
    return yaml.dump(content, Dumper=_Plain, sort_keys=False)


def _kubelet(shape: schema.Cluster, cgroup_version: int) -> dict[str, object]:
    """Return what kubelets do in another way than by default."""
    kubelet: dict[str, object] = {"kind": "KubeletConfiguration", "resolvConf": RESOLV_CONF, **PULLS}
    if cgroup_version == 1:
        # Kubernetes 1.35 and newer refuse cgroup v1 unless told (KEP-5573).
        kubelet |= {"failCgroupV1": False}
    if not is_before(VERIFYING, shape.kubernetes):
        # Our images are on the node without ever having been pulled. Once the same bytes are pulled by another name, as
        # busybox may be, the kubelet would want a pull of our names too, and no registry serves these (KEP-2535).
        kubelet |= {"imagePullCredentialsVerificationPolicy": "NeverVerify"}
    return kubelet


def _control_plane(shape: schema.Cluster, tags: Tags | None) -> dict[str, object]:
    """Return what the control plane's parts do in another way than by default."""
    old = is_before(NEW_KUBEADM, shape.kubernetes)
    cluster: dict[str, object] = {"kind": "ClusterConfiguration"}
    if not old:  # which can choose neither keys nor their validity
        # A dozen RSA keys would take a second or two to make.
        cluster |= {"encryptionAlgorithm": "ECDSA-P256", "certificateValidityPeriod": YEARS}
    cluster |= {"scheduler": {"extraArgs": _election(shape) if old else _listed(_election(shape))}}
    etcd: dict[str, object] = {"imageTag": tags.etcd} if tags else {}
    if tags and not old:  # which has no variables
        etcd |= {"extraEnvs": [SPARING]}
    arguments = {}
    if tags:
        arguments = QUIET
    elif shape.nodes.control_plane == 1:
        arguments = ELECTION
    if arguments:
        etcd |= {"extraArgs": arguments if old else _listed(arguments)}
    cluster |= {"etcd": {"local": etcd}} if etcd else {}
    cluster |= {"dns": {"imageTag": tags.coredns}} if tags else {}
    return cluster


def _by_node(shape: schema.Cluster) -> list[dict[str, object]]:
    """Return how kubeadm is to make the first node, and how others are to join it."""
    # kubeadm gives a call a minute, which is short where several clusters start at once.
    node: dict[str, object] = {} if is_before(NEW_KUBEADM, shape.kubernetes) else {"timeouts": TIMEOUTS}
    if shape.nodes.control_plane > 1 and not shape.nodes.workers:
        node |= {"nodeRegistration": {"taints": []}}  # as kind does with a lone one: else no pod had a node
    init: dict[str, object] = {"kind": "InitConfiguration", "patches": {"directory": str(PATCHES)}, **node}
    init |= {"skipPhases": SKIPPED} if shape.nodes.control_plane == 1 else {}
    return [init, {"kind": "JoinConfiguration", **node}] if node else [init]


def _controller_arguments(shape: schema.Cluster) -> dict[str, object]:
    """Return the patch that gives the controller manager further arguments, one by one, since kind gives it some."""
    wanted = _election(shape) | QUOTA
    added: list[tuple[str, object]]
    if is_before(NEW_KUBEADM, shape.kubernetes):
        version, added = "v1beta3", list(wanted.items())
    else:
        version, added = "v1beta4", [("-", argument) for argument in _listed(wanted)]
    patch = [{"op": "add", "path": f"/controllerManager/extraArgs/{key}", "value": value} for key, value in added]
    return {
        "group": "kubeadm.k8s.io",
        "version": version,
        "kind": "ClusterConfiguration",
        "patch": yaml.safe_dump(patch),
    }


def _election(shape: schema.Cluster) -> dict[str, str]:
    return ALONE if shape.nodes.control_plane == 1 else SEVERAL


def is_before(release: tuple[int, int], kubernetes: str | None) -> bool:
    """Tell whether that Kubernetes is older than the minor `release`; None is the newest that there are images of."""
    return kubernetes is not None and _numbers(kubernetes)[:2] < release


def in_reach(before: str, after: str) -> bool:
    """Tell whether kubeadm upgrades that Kubernetes to this one: to a later patch, or to the next minor."""
    (major, minor, patch), later = _numbers(before), _numbers(after)
    return later[0] == major and ((later[1] == minor and later[2] > patch) or later[1] == minor + 1)


def _numbers(version: str) -> tuple[int, int, int]:
    found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", version)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else (0, 0, 0)


class _Plain(yaml.SafeDumper):
    """Writes what is the same for several nodes out for each."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _mount(path: Path, place: str, *, read_only: bool) -> dict[str, object]:
    return {"hostPath": str(path), "containerPath": place, "readOnly": read_only}


def node_names(cluster: str, nodes: schema.Nodes) -> tuple[str, ...]:
    """Return what kind calls the nodes of a cluster, the first control plane first."""
    counts = (("control-plane", nodes.control_plane), ("worker", nodes.workers))
    return tuple(f"{cluster}-{role}{n if n > 1 else ''}" for role, count in counts for n in range(1, count + 1))


def _listed(arguments: Mapping[str, str]) -> list[dict[str, str]]:
    """Return arguments as kubeadm's v1beta4 has them; in v1beta3 they are a mapping."""
    return [{"name": name, "value": value} for name, value in arguments.items()]
