"""Waits, after a start, for the workloads of the user's manifests, without the manifests, which may be gone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.components.workloads import applied_record
from sandbox.components.workloads.step import RECORD, TIMEOUT
from sandbox.kube import object_keys
from sandbox.kube.api import Cluster, title
from sandbox.kube.deletion import is_leaving
from sandbox.kube.readiness import wait_ready
from sandbox.kube.records import Records
from sandbox.kube.workload_status import WORKLOADS, progress
from sandbox.names import Names
from sandbox.step import NothingToUndo, State, Status, Work


@dataclass(frozen=True)
class WorkloadsStep(NothingToUndo):
    """Makes nothing; ready when every workload that was applied last, and is not being deleted, is ready."""

    names: Names
    requires: tuple[str, ...] = ("cluster",)
    name: str = "workloads"
    title: str = "Your workloads"

    def check(self) -> Status:
        for live in self._live():
            pending = progress(live)
            if pending:
                return Status(State.DRIFTED, f"{title(live)}: {pending}")
        return Status(State.READY)

    def apply(self, work: Work) -> None:
        wait_ready(Cluster(self.names.kubeconfig), self._live(), timeout=TIMEOUT, say=work.say)

    def _live(self) -> list[Mapping[str, Any]]:
        records = Records.of(self.names)
        cluster, record = records.cluster, applied_record.read(records, RECORD) or applied_record.Applied()
        objects = (object_keys.find(cluster, key) for key in record.keys if key.kind in WORKLOADS)
        return [live for live in objects if live and not is_leaving(live)]
