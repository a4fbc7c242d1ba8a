"""What a kind cluster is made with: its configuration (kind.x-k8s.io/v1alpha4), kubeadm's part, and first objects.

A new cluster gets the first objects sooner than kubeadm and the controller manager would create them. They go into the
control plane's node before kubeadm runs there, and a script creates them as soon as the API server answers. All are the
same as those that would come later; where one cannot be created, it does.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

import yaml

from sandbox.components.cluster import dns
from sandbox.config import schema
from sandbox.system.files import packaged

RESOLV_CONF = "/etc/kubernetes/pod-resolv.conf"
# kind's defaults, which the sandbox keeps.
PODS, SERVICES = "10.244.0.0/16", "10.96.0.0/16"
# Where kubeadm looks for changes of CoreDNS's Deployment, passing over other files. Every node image has the folder:
# where a slow engine writes our file too late, the cluster comes up without the change, and the DNS step makes it.
PATCHES = PurePosixPath("/kind")
FIRST_OBJECTS = PATCHES / "first-objects.json"
# ServiceAccounts of the controller manager's controllers. It starts them one after the other with 20 requests a second
# (--kube-api-qps), and an account that does not exist costs three requests instead of one (k8s.io/controller-manager,
# pkg/clientbuilder/client_builder_dynamic.go): four seconds in which no pod is created.
ACCOUNTS = packaged(__package__, "controller-accounts").split()
# kubeadm writes super-admin.conf for the moment in which RBAC has no roles yet.
_CREATE = f"""
export KUBECONFIG=/etc/kubernetes/super-admin.conf
until (: </dev/tcp/127.0.0.1/6443) 2>/dev/null; do sleep 0.1; done
until kubectl get namespace kube-system; do sleep 0.1; done
kubectl create --namespace kube-system --validate=false --filename {FIRST_OBJECTS}
"""
# Returns at once; the script goes on in the node.
CREATE_FIRST = ("bash", "-c", 'timeout 60 bash -c "$1" </dev/null >/dev/null 2>&1 &', "first-objects", _CREATE)
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
    init: dict[str, object] = {"kind": "InitConfiguration", "patches": {"directory": str(PATCHES)}}
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


def first_files(corefile: str) -> Mapping[PurePosixPath, bytes]:
    """Return the files that `CREATE_FIRST` and kubeadm read; kubeadm keeps a Corefile that exists."""
    accounts = [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}} for name in ACCOUNTS]
    objects = {"apiVersion": "v1", "kind": "List", "items": [dns.config_map(corefile), *accounts]}
    return {
        FIRST_OBJECTS: json.dumps(objects).encode(),
        PATCHES / "corednsdeployment.json": json.dumps(dns.deployment(corefile)).encode(),
    }


def node_names(cluster: str, nodes: schema.Nodes) -> tuple[str, ...]:
    """Return what kind calls the nodes of a cluster, the first control plane first."""
    counts = (("control-plane", nodes.control_plane), ("worker", nodes.workers))
    return tuple(f"{cluster}-{role}{n if n > 1 else ''}" for role, count in counts for n in range(1, count + 1))
