"""The steps of the ingress controller: HTTPS for every Ingress and a page for unknown hosts, or neither."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sandbox.components import content_hash
from sandbox.components.ingress.served_hosts import CLASS
from sandbox.components.ingress.traefik import Traefik
from sandbox.components.workloads import applying
from sandbox.engine import Engine
from sandbox.errors import SandboxError
from sandbox.kube import readiness
from sandbox.kube.api import Cluster, Manifest
from sandbox.kube.apply_attempts import apply_patiently
from sandbox.kube.readiness import wait_ready
from sandbox.kube.records import ObjectKey, Records, remove_objects
from sandbox.names import SYSTEM_NAMESPACE, Names
from sandbox.step import NothingToUndo, State, Status, Work

TIMEOUT = 180.0
RECORD = "applied-ingress"


@dataclass(frozen=True, kw_only=True)
class IngressStep(NothingToUndo):
    """The controller at a port of every node with our certificate as default, or none; it goes with the cluster.

    The edge, whose word on who the client is counts, is on `network`. It `grows` where there are several nodes.
    """

    engine: Engine
    network: str
    names: Names
    controller: Traefik | None
    requires: tuple[str, ...] = ("secrets",)
    after: tuple[str, ...] = ()
    grows: bool = False
    name: str = "ingress"

    @property
    def title(self) -> str:
        return "Ingress controller Traefik" if self.controller else "No ingress controller"

    def check(self) -> Status:
        records, manifests = Records.of(self.names), self._manifests()
        if problem := content_hash.problem(records.cluster, manifests):
            return problem
        if dropped := _dropped(records, map(ObjectKey.of, manifests)):
            return Status(State.DRIFTED, f"{', '.join(map(str, dropped))} of an earlier spec")
        return Status(State.READY, self.controller.promises if self.controller else "")

    def apply(self, work: Work) -> None:
        records = Records.of(self.names)
        cluster = records.cluster
        manifests, groundwork = self._manifests(), self.controller.groundwork() if self.controller else ()
        _require_own_classes(cluster, manifests)
        keys = tuple(map(ObjectKey.of, manifests))
        dropped = _dropped(records, keys)
        # Recorded first, so that every new object is known; a controller keeps the node's port until it is removed.
        applying.write(records, RECORD, (*keys, *dropped))
        remove_objects(cluster, dropped)
        for manifest in groundwork:
            if manifest["kind"] != "ConfigMap" or cluster.live(manifest) is None:  # the page keeps its hosts
                apply_patiently(cluster, manifest, say=work.say)
        for manifest in manifests:
            apply_patiently(cluster, manifest, say=work.say)
        applying.write(records, RECORD, keys)
        wait_ready(cluster, manifests, timeout=TIMEOUT)
        readiness.refresh_pods(cluster, SYSTEM_NAMESPACE, content_hash.digest(manifests))

    def _manifests(self) -> list[dict[str, Any]]:
        if self.controller is None:
            return []
        network = self.engine.network(self.network)
        trusted = network.subnet if network else "127.0.0.1/32"
        return list(map(content_hash.marked, self.controller.manifests(trusted=trusted)))


def _dropped(records: Records, keys: Iterable[ObjectKey]) -> tuple[ObjectKey, ...]:
    return (applying.read(records, RECORD) or applying.Applied()).dropped(keys)


def _require_own_classes(cluster: Cluster, manifests: Iterable[Manifest]) -> None:
    for manifest in manifests:
        name = manifest["metadata"]["name"]
        live = cluster.live(manifest) if manifest["kind"] == "IngressClass" and name != CLASS else None
        if live is not None and not content_hash.mark(live):
            raise SandboxError(
                f"the cluster has an IngressClass {name} that `up` did not make",
                details=f"it belongs to {(live.get('spec') or {}).get('controller')}",
                fix=f"take {name} out of ingress.classes in sandbox.yaml: its own controller serves it",
                id="ingress-class",
            )
