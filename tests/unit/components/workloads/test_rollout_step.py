"""After a rest, what the user's manifests run is waited for, though no one has the manifests any more."""

from __future__ import annotations

import threading

from sandbox.components.workloads import applied_record
from sandbox.components.workloads.rollout_step import WorkloadsStep
from sandbox.components.workloads.step import RECORD
from sandbox.kube.object_keys import ObjectKey
from sandbox.kube.records import Records
from sandbox.names import Names
from sandbox.step import State
from tests.support.api_server import ApiServer
from tests.support.fakes import NoWork

APP = "/apis/apps/v1/namespaces/shop/deployments/app"


def remember(names: Names) -> None:
    places = [ObjectKey("apps/v1", "Deployment", "shop", name) for name in ("app", "gone")]
    applied_record.write(Records.of(names), RECORD, [*places, ObjectKey("v1", "ConfigMap", "shop", "a")], "digest")


def deployment(ready: int) -> dict[str, object]:
    status = {"readyReplicas": ready, "updatedReplicas": 1, "replicas": 1, "observedGeneration": 1}
    metadata = {"name": "app", "namespace": "shop", "generation": 1}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "status": status}


def test_nothing_applied_needs_no_wait(names: Names, server: ApiServer) -> None:
    assert WorkloadsStep(names).check().state is State.READY


def test_rollout_waits_for_applied_objects_that_still_exist(names: Names, server: ApiServer) -> None:
    server.kinds["/apis/apps/v1"] = {"Deployment": ("deployments", True)}
    remember(names)
    server.objects[APP] = deployment(ready=0)
    step = WorkloadsStep(names)
    found = step.check()
    assert (found.state, found.detail) == (State.DRIFTED, "Deployment shop/app: 0 of 1 pods ready")
    timer = threading.Timer(0.3, server.objects.__setitem__, (APP, deployment(ready=1)))
    timer.start()
    step.apply(NoWork())
    assert step.check().state is State.READY
    timer.join()
    assert step.undo() is False
    server.objects[APP] = {
        **deployment(ready=0),
        "metadata": {"name": "app", "deletionTimestamp": "2026-01-01T00:00:00Z"},
    }
    assert step.check().state is State.READY
