"""What a start of nodes needs: etcd's peers by name, their order by previous addresses, and current pod statuses."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

from sandbox.engine import Engine
from sandbox.engine.container_host import joined
from sandbox.errors import SandboxError, succeeded
from sandbox.kube.api import Cluster, ClusterError, Manifest, title
from sandbox.kube.pods import placed_since
from sandbox.kube.workload_status import is_ready
from sandbox.system.wait import WaitTimeout, wait_until

# What kubeadm and, after a change of the address, the node's entrypoint write for the kubelet.
FLAGS = PurePosixPath("/var/lib/kubelet/kubeadm-flags.env")
ADDRESS = re.compile(rb"--node-ip=([\d.]+)")
GATEWAY = 1  # the first address of a network, which is the engine's own
NEWS = 30.0  # seconds; later steps then report what is wrong with the pods
MIRROR = "kubernetes.io/config.mirror"
WORKLOADS = ("DaemonSet", "ReplicaSet", "StatefulSet", "Deployment")
# etcd's API as JSON (server/embed: enable-grpc-gateway); kubectl is the client for it that every node has.
_POST = """
pki=/etc/kubernetes/pki/etcd
echo "$2" | kubectl --kubeconfig=/dev/null --server=https://127.0.0.1:2379 --certificate-authority=$pki/ca.crt \
  --client-certificate=$pki/healthcheck-client.crt --client-key=$pki/healthcheck-client.key \
  --request-timeout=10s create --raw "/v3/cluster/member/$1" -f -
"""


def by_address(engine: Engine, network: str, stopped: Sequence[str]) -> list[str]:
    """Return the names of stopped containers in the order of their previous addresses.

    The engine gives a starting container the lowest free address. In another order nodes would exchange addresses, and
    Service `kubernetes` would lead to a worker until the lease of the previous API server ends after 15 seconds. The
    load balancer of control planes has no kubelet that recorded its address: it had the one that is left over.
    """
    if len(stopped) < 2:  # which takes no time to order, as reading a file does
        return list(stopped)
    order: list[tuple[IPv4Address, str]] = []
    others = []
    for name in stopped:
        flag = ADDRESS.search(engine.read_file(name, FLAGS) or b"")
        try:
            order.append((IPv4Address(flag[1].decode() if flag else ""), name))
        except ValueError:
            others.append(name)
    order.sort()
    lowest = IPv4Network(joined(engine, network).subnet)[GATEWAY + 1]
    for name in others:
        place = next((at for at, (address, _) in enumerate(order) if address != lowest + at), len(order))
        order.insert(place, (lowest + place, name))
    return [name for _, name in order]


def await_news(kubeconfig: Path, since: Mapping[str, datetime]) -> None:
    """Wait until the status of every pod is newer than the last start of its node; `since` has these times by node.

    Before that, pods seem to be ready because they were ready when the node stopped.
    """
    whole = {node: moment.replace(microsecond=0) for node, moment in since.items()}  # as pods have them
    with suppress(WaitTimeout):
        wait_until(partial(old_news, Cluster(kubeconfig), whole), what="the pods", timeout=NEWS)


def old_news(cluster: Cluster, since: Mapping[str, datetime]) -> str | None:
    """Return an object whose status is older than the start of a node, or None.

    The kubelet writes the status of pods: it is old while a sandbox or container in it began before the node did.
    Static pods are left out, because the kubelet may report them ten seconds later. The controller manager, which
    starts later, writes the status of workloads: it is old while it counts more ready pods than there are.
    """
    if not since:
        return None
    try:
        pods = [pod for pod in cluster.list("v1", "Pod") if MIRROR not in pod["metadata"].get("annotations", {})]
        for pod in pods:
            begun, status = since.get(pod["spec"].get("nodeName", "")), pod.get("status", {})
            running = (container["state"].get("running") or {} for container in status.get("containerStatuses") or ())
            times = filter(None, [placed_since(pod), *(state.get("startedAt") for state in running)])
            if begun and any(datetime.fromisoformat(time) < begun for time in times):
                return title(pod)
        workloads = {kind: cluster.list("apps/v1", kind) for kind in WORKLOADS}
    except ClusterError as error:  # the API server has not read its roles yet
        return str(error)
    ready = Counter(_controller(pod) for pod in pods if is_ready(pod))
    for replica_set in workloads["ReplicaSet"]:
        ready[_controller(replica_set)] += ready[replica_set["metadata"]["uid"]]
    for workload in chain.from_iterable(workloads.values()):
        status = workload.get("status", {})
        if (status.get("numberReady") or status.get("readyReplicas") or 0) > ready[workload["metadata"]["uid"]]:
            return title(workload)
    return None


def _controller(manifest: Manifest) -> str:
    owners = manifest["metadata"].get("ownerReferences") or ()
    return next((str(owner["uid"]) for owner in owners if owner.get("controller")), "")


def name_peers(engine: Engine, control_plane: str) -> None:
    """Write the name of its node into the peer URL of every etcd member. Raises SandboxError.

    kubeadm writes addresses, which may change when nodes start. etcd keeps a member's peer URL in its data and reads
    its command line only at the first start (server/etcdserver/bootstrap.go). A peer's certificate names its node too,
    and etcd accepts it if that name resolves to the address that connects (client/pkg/transport/listener_tls.go).
    """
    output = _post(engine, control_plane, "list", {})
    try:
        named = {member["ID"]: (member["name"], member["peerURLs"]) for member in json.loads(output)["members"]}
    except (ValueError, LookupError, TypeError) as error:  # kubectl may have said more, and one that joins has no name
        raise SandboxError(f"the members of etcd on {control_plane} are not known", details=output[-2000:]) from error
    for member, (name, urls) in named.items():
        by_name = [f"https://{name}:2380"]
        if urls != by_name:
            _post(engine, control_plane, "update", {"ID": member, "peerURLs": by_name})


def _post(engine: Engine, control_plane: str, what: str, body: dict[str, Any]) -> str:
    ran = engine.execute(control_plane, ["sh", "-c", _POST, "post", what, json.dumps(body)])
    return succeeded(ran, f"etcd does not {what} its members on {control_plane}")
