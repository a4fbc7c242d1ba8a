"""The user's own manifests, applied and waited for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sandbox.cluster.api import Cluster, title
from sandbox.cluster.attempt import attempt
from sandbox.cluster.namespace import namespace
from sandbox.cluster.readiness import WORKLOADS, progress, wait_ready
from sandbox.host.waiting import wait_until
from sandbox.names import SYSTEM_NAMESPACE, Names
from sandbox.steps.step import State, Status, Work

RECORD = "applied"
TIMEOUT = 300.0


@dataclass(frozen=True)
class ApplyStep:
    """Applies the objects in order; a ConfigMap of ours in the cluster remembers what was applied last."""

    names: Names
    manifests: tuple[dict[str, Any], ...]
    needs: tuple[str, ...]
    name: str = "apply"

    @property
    def title(self) -> str:
        return f"{len(self.manifests)} objects of yours"

    def check(self) -> Status:
        cluster = Cluster(self.names.kubeconfig)
        record = cluster.get("v1", "ConfigMap", RECORD, SYSTEM_NAMESPACE)
        if record is None:
            return Status(State.ABSENT)
        if record.get("data") != self._record["data"]:
            return Status(State.DRIFTED, "the manifests have changed")
        for manifest in self._placed:
            metadata = manifest["metadata"]
            live = cluster.get(manifest["apiVersion"], manifest["kind"], metadata["name"], metadata["namespace"])
            if live is None:
                return Status(State.DRIFTED, f"{title(manifest)} is gone")
            pending = progress(live) if live["kind"] in WORKLOADS else None
            if pending:
                return Status(State.DRIFTED, f"{title(manifest)}: {pending}")
        return Status(State.READY)

    def apply(self, work: Work) -> None:
        cluster = Cluster(self.names.kubeconfig)
        for manifest in self._placed:
            work.say(title(manifest))
            wait_until(partial(attempt, cluster, manifest), what=title(manifest), timeout=30)
        work.say("waiting for the pods")
        wait_ready(cluster, self._placed, timeout=TIMEOUT)
        cluster.apply(namespace(SYSTEM_NAMESPACE))
        cluster.apply(self._record)

    def undo(self) -> bool:
        return False

    @property
    def _placed(self) -> list[dict[str, Any]]:
        """The objects, each with a namespace; the API ignores it for kinds that have none."""
        return [
            {**one, "metadata": {**one["metadata"], "namespace": one["metadata"].get("namespace", "default")}}
            if one["kind"] != "Namespace"
            else {**one, "metadata": {**one["metadata"], "namespace": None}}
            for one in self.manifests
        ]

    @property
    def _record(self) -> Mapping[str, Any]:
        digest = hashlib.sha256(json.dumps(self.manifests, sort_keys=True, default=str).encode()).hexdigest()
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": RECORD, "namespace": SYSTEM_NAMESPACE},
            "data": {"sha256": digest},
        }
