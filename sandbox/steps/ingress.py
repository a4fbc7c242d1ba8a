"""The ingress controller: HTTPS for every Ingress of the cluster, and a page for hosts that have none."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.cluster.api import Cluster
from sandbox.cluster.manifests import parse
from sandbox.cluster.readiness import WORKLOADS, progress, wait_ready
from sandbox.host.engine import Engine
from sandbox.ingress import page, traefik
from sandbox.names import NETWORK, SYSTEM_NAMESPACE, Names
from sandbox.steps.step import State, Status, Work

MARK = "sandbox.dev/applied"
TIMEOUT = 180.0


@dataclass(frozen=True)
class IngressStep:
    """Traefik on the node's ports 80 and 443 with the sandbox's certificate as default; goes with the cluster."""

    engine: Engine
    names: Names
    traefik: str
    busybox: str
    name: str = "ingress"
    needs: tuple[str, ...] = ("secrets",)

    @property
    def title(self) -> str:
        return "Ingress controller Traefik"

    def check(self) -> Status:
        cluster = Cluster(self.names.kubeconfig)
        for wanted in self._workloads():
            metadata = wanted["metadata"]
            found = cluster.get(wanted["apiVersion"], wanted["kind"], metadata["name"], metadata["namespace"])
            if found is None:
                return Status(State.ABSENT, metadata["name"])
            if (found["metadata"].get("annotations") or {}).get(MARK) != metadata["annotations"][MARK]:
                return Status(State.DRIFTED, f"{metadata['name']} is another")
            pending = progress(found)
            if pending:
                return Status(State.DRIFTED, f"{metadata['name']}: {pending}")
        return Status(State.READY, "class nginx, default certificate, ssl-passthrough, default backend")

    def apply(self, work: Work) -> None:
        cluster = Cluster(self.names.kubeconfig)
        if cluster.get("v1", "ConfigMap", "default-backend", SYSTEM_NAMESPACE) is None:
            cluster.apply(page.manifest(page.render(self.names.name, (), port=443)))
        manifests = self._manifests()
        cluster.apply_all(manifests)
        wait_ready(cluster, manifests, timeout=TIMEOUT)

    def undo(self) -> bool:
        return False

    def _workloads(self) -> list[dict[str, Any]]:
        return [one for one in self._manifests() if one["kind"] in WORKLOADS]

    def _manifests(self) -> list[dict[str, Any]]:
        network = self.engine.network(NETWORK)
        trusted = network.subnet if network else "127.0.0.1/32"
        text = traefik.manifests(traefik=self.traefik, busybox=self.busybox, trusted=trusted)
        return [_marked(one) for one in parse(text, origin="the ingress controller")]


def _marked(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The object with a mark that tells whether what is in the cluster was made from the same text."""
    digest = hashlib.sha256(repr(manifest).encode()).hexdigest()[:16]
    metadata = manifest["metadata"]
    annotations = {**(metadata.get("annotations") or {}), MARK: digest}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}
