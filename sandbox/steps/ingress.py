"""The ingress controller: HTTPS for every Ingress of the cluster, and a page for hosts that have none."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sandbox.cluster import pods
from sandbox.cluster.api import Cluster, title
from sandbox.cluster.attempt import attempt
from sandbox.cluster.readiness import WORKLOADS, progress, wait_ready
from sandbox.host.engine import Engine
from sandbox.host.waiting import wait_until
from sandbox.ingress.controller import Controller
from sandbox.names import SYSTEM_NAMESPACE, Names
from sandbox.steps.step import State, Status, Work

MARK = "sandbox.dev/applied"
TIMEOUT = 180.0
KIND_TIMEOUT = 30.0


@dataclass(frozen=True)
class IngressStep:
    """The controller on the node's ports 80 and 443 with our certificate as default; it goes with the cluster.

    The edge, whose word on who the client is counts, is on `network`."""

    engine: Engine
    network: str
    names: Names
    controller: Controller
    needs: tuple[str, ...] = ("secrets",)
    name: str = "ingress"

    @property
    def title(self) -> str:
        return self.controller.title

    def check(self) -> Status:
        cluster = Cluster(self.names.kubeconfig)
        # The workload comes last: without it nothing is there, without another part something is amiss.
        for wanted in reversed(self._manifests()):
            metadata = wanted["metadata"]
            found = cluster.get(wanted["apiVersion"], wanted["kind"], metadata["name"], metadata.get("namespace"))
            if found is None:
                absent = wanted["kind"] in WORKLOADS
                return Status(State.ABSENT if absent else State.DRIFTED, f"{title(wanted)} is not there")
            if (found["metadata"].get("annotations") or {}).get(MARK) != metadata["annotations"][MARK]:
                return Status(State.DRIFTED, f"{title(wanted)} is another")
            pending = progress(found) if wanted["kind"] in WORKLOADS else None
            if pending:
                return Status(State.DRIFTED, f"{title(wanted)}: {pending}")
        return Status(State.READY, self.controller.promises)

    def apply(self, work: Work) -> None:
        cluster = Cluster(self.names.kubeconfig)
        manifests = self._manifests()
        for manifest in (*self.controller.groundwork(), *manifests):
            wait_until(partial(attempt, cluster, manifest), what=title(manifest), timeout=KIND_TIMEOUT)
        wait_ready(cluster, manifests, timeout=TIMEOUT)
        pods.look_again(cluster, SYSTEM_NAMESPACE, _digest(manifests))

    def undo(self) -> bool:
        return False

    def _manifests(self) -> list[dict[str, Any]]:
        network = self.engine.network(self.network)
        return [
            _marked(one) for one in self.controller.manifests(trusted=network.subnet if network else "127.0.0.1/32")
        ]


def replace(names: Names, manifest: Mapping[str, Any]) -> None:
    """Have one of the controller's ConfigMaps as the step would have it, if the controller has one of that name."""
    cluster, wanted, metadata = Cluster(names.kubeconfig), _marked(manifest), manifest["metadata"]
    if cluster.get("v1", "ConfigMap", metadata["name"], metadata["namespace"]):
        cluster.apply(wanted)
        pods.look_again(cluster, metadata["namespace"], wanted["metadata"]["annotations"][MARK])


def _marked(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The object with a mark that tells whether what is in the cluster was made from the same text."""
    metadata = manifest["metadata"]
    annotations = {**(metadata.get("annotations") or {}), MARK: _digest(manifest)}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def _digest(content: object) -> str:
    return hashlib.sha256(repr(content).encode()).hexdigest()[:16]
