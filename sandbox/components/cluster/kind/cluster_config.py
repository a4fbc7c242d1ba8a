"""The configuration that a kind cluster is made with, kubeadm's part of it included (kind.x-k8s.io/v1alpha4)."""

from dataclasses import dataclass

import yaml

from sandbox.components.cluster.kind import first_objects
from sandbox.config import schema

RESOLV_CONF = "/etc/kubernetes/pod-resolv.conf"
# kind's defaults, which the sandbox keeps.
PODS, SERVICES = "10.244.0.0/16", "10.96.0.0/16"
# The controller manager asks for its lease before the API server has RBAC's roles, and is refused. By default it asks
# again after 2 to 4.4 seconds. kind gives kubeadm arguments of its own, so that this one has to be added to a list;
# for Kubernetes before 1.36 kind writes v1beta3, which has no list, and ignores this patch.
_SOONER_ELECTION = {
    "group": "kubeadm.k8s.io",
    "version": "v1beta4",
    "kind": "ClusterConfiguration",
    "patch": """
- op: add
  path: /controllerManager/extraArgs/-
  value: {name: leader-elect-retry-period, value: 1s}
""",
}


@dataclass(frozen=True)
class Tags:
    """The image tags that kubeadm is to use with our node image, where they differ from its own defaults."""

    etcd: str
    coredns: str


def config(name: str, shape: schema.Cluster, *, cgroup_version: int, tags: Tags | None) -> str:
    """Return the kind configuration of a cluster whose pods use the nameservers in RESOLV_CONF."""
    more = shape.kind or schema.KindOptions()
    extra = [
        {"hostPath": str(mount.host), "containerPath": mount.node, "readOnly": mount.read_only}
        for mount in shape.mounts
    ]
    roles = ["control-plane"] * shape.nodes.control_plane + ["worker"] * shape.nodes.workers
    content = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "name": name,
        "networking": {"ipFamily": shape.ip_family} | more.networking.model_dump(exclude_none=True),
        "featureGates": dict(shape.feature_gates),
        "runtimeConfig": dict(more.runtimeConfig),
        "nodes": [{"role": role, "extraMounts": extra} for role in roles],
        # What the user wants comes last, and so wins.
        "kubeadmConfigPatches": [
            *map(yaml.safe_dump, _kubeadm(shape, cgroup_version=cgroup_version, tags=tags)),
            *more.kubeadmConfigPatches,
        ],
        "kubeadmConfigPatchesJSON6902": [
            _SOONER_ELECTION,
            *(patch.model_dump() for patch in more.kubeadmConfigPatchesJSON6902),
        ],
        "containerdConfigPatches": list(more.containerdConfigPatches),
    }
    return yaml.dump(content, Dumper=_Plain, sort_keys=False)


def _kubeadm(shape: schema.Cluster, *, cgroup_version: int, tags: Tags | None) -> list[dict[str, object]]:
    """Return patches for kubeadm's configuration; docs/nodes.md gives the reason for each."""
    kubelet: dict[str, object] = {"kind": "KubeletConfiguration", "resolvConf": RESOLV_CONF}
    if cgroup_version == 1:
        # Kubernetes 1.35 and newer refuse cgroup v1 unless told (KEP-5573).
        kubelet |= {"failCgroupV1": False}
    init: dict[str, object] = {"kind": "InitConfiguration", "patches": {"directory": str(first_objects.PATCHES)}}
    patches = [kubelet, init]
    if tags:
        local, dns = {"imageTag": tags.etcd}, {"imageTag": tags.coredns}
        patches.append({"kind": "ClusterConfiguration", "etcd": {"local": local}, "dns": dns})
    if shape.nodes.control_plane > 1 and not shape.nodes.workers:
        # As kind does with a lone control plane: else pods would have no node.
        kinds = ("InitConfiguration", "JoinConfiguration")
        patches += [{"kind": kind, "nodeRegistration": {"taints": []}} for kind in kinds]
    return patches


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


def node_names(cluster: str, nodes: schema.Nodes) -> tuple[str, ...]:
    """Return what kind calls the nodes of a cluster, the first control plane first."""
    counts = (("control-plane", nodes.control_plane), ("worker", nodes.workers))
    return tuple(f"{cluster}-{role}{n if n > 1 else ''}" for role, count in counts for n in range(1, count + 1))
