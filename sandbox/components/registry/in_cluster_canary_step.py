"""The proof that nodes of a cluster that is not ours pull from the registry in it, remembered there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sandbox.components.cluster.existing.tenant import Place
from sandbox.components.registry import canary_pod
from sandbox.components.registry.in_cluster import PULL_SECRET
from sandbox.components.registry.in_cluster_step import name_on_nodes
from sandbox.errors import SandboxError
from sandbox.images import canary_image
from sandbox.oci.client import Client
from sandbox.step import NothingToUndo, State, Status, Work
from sandbox.system.wait import WaitTimeout, wait_until

PROOF = "sandbox-pulled"
TIMEOUT = 60.0
OTHER_WAYS = """\
use a registry that the nodes trust: registry: {external: HOST}   (push there with your account of `docker login`)
or ask who runs the cluster to let nodes reach NodePorts at 127.0.0.1 (kube-proxy in iptables mode does;
nftables, IPVS and eBPF replacements need it switched on), or to add a hosts.toml for that name on every node"""


@dataclass(frozen=True)
class InnerCanaryStep(NothingToUndo):
    """Pushes a tiny image by the tunnel at `url` and has one node pull it by digest; that it did is written down."""

    place: Place
    url: str
    name: str = "wiring"
    requires: tuple[str, ...] = ("registry", "edge")

    @property
    def title(self) -> str:
        return "Registry reached by nodes"

    def check(self) -> Status:
        return recorded(self.place)

    def apply(self, work: Work) -> None:
        cluster = self.place.cluster
        with Client(self.url) as client:
            image = canary_image.place(client)
        pod = canary_pod.pod(f"{name_on_nodes(self.place)}/{image}", PULL_SECRET)
        self._remove()
        try:
            cluster.apply(pod)
            wait_until(self._pull, what="the canary", timeout=TIMEOUT)
        except WaitTimeout as error:
            raise SandboxError(
                "nodes of the cluster cannot pull from the registry in it",
                details=error.details,
                fix=OTHER_WAYS,
                id="no-pull",
            ) from error
        finally:
            self._remove()
        cluster.apply(_proof(self.place))

    def _pull(self) -> str | None:
        live = self.place.cluster.get("v1", "Pod", canary_pod.NAME, self.place.namespace)
        if live is None:
            return "its pod is gone"
        if canary_pod.pulled(live):
            return None
        return canary_pod.refusal(live) or canary_pod.pending(live)

    def _remove(self) -> None:
        def there() -> str | None:
            found = self.place.cluster.get("v1", "Pod", canary_pod.NAME, self.place.namespace)
            return None if found is None else "the pod of an earlier one is still there"

        if there():
            self.place.cluster.delete("v1", "Pod", canary_pod.NAME, self.place.namespace)
            wait_until(there, what="the canary's end", timeout=TIMEOUT)


def recorded(place: Place) -> Status:
    """Return the result of the last test pull, as it is recorded in the cluster."""
    found = place.cluster.get("v1", "ConfigMap", PROOF, place.namespace)
    if found is None:
        return Status(State.ABSENT)
    if found.get("data") != _proof(place)["data"]:
        return Status(State.DRIFTED, "was proved for another")
    return Status(State.READY, f"a node pulled from {name_on_nodes(place)}")


def _proof(place: Place) -> dict[str, Any]:
    data = {"registry": name_on_nodes(place), "image": canary_image.document().digest}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": PROOF}, "data": data}
