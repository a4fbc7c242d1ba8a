"""The user's objects in a cluster: what the manifests say is there, and what they said before is not."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox.components.cluster.existing.tenant import SandboxNamespace
from sandbox.components.workloads import applying
from sandbox.components.workloads.image_names import ImageNames
from sandbox.components.workloads.step import ApplyStep, OneNamespace, WorkloadsStep
from sandbox.errors import SandboxError
from sandbox.kube.records import ObjectKey, Records
from sandbox.names import LABEL, SYSTEM_NAMESPACE, Names
from sandbox.step import State, Status
from tests.support.api_server import ApiServer, Refused
from tests.support.fakes import NoWork
from tests.support.registry_simulator import Simulator

RECORD = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/configmaps/applied"
A, B = (f"/api/v1/namespaces/shop/configmaps/{name}" for name in "ab")
SHOP = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}


def config(name: str, value: str = "1") -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"value": value}}


OBJECTS = (SHOP, config("a"), config("b"))


def pod(image: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"image": image}]}}


def step(names: Names, manifests: Sequence[dict[str, Any]], images: ImageNames | None = None) -> ApplyStep:
    return ApplyStep(names, tuple(manifests), images or ImageNames(prefix="localhost:1", url="http://x"), requires=())


def test_manifests_are_applied_and_recorded(names: Names, server: ApiServer) -> None:
    applied: list[str] = []
    made = replace(step(names, OBJECTS), applied=lambda cluster, manifest: applied.append(manifest["kind"]))
    assert made.check().state is State.ABSENT
    made.apply(NoWork())
    assert made.check() == Status(State.READY)
    assert {A, B, RECORD} <= server.objects.keys()
    assert applied == [manifest["kind"] for manifest in OBJECTS], "each applied object is passed on"
    del server.objects[A]
    assert made.check().detail == "ConfigMap shop/a is gone"


def test_object_being_deleted_is_applied_again_afterwards(names: Names, server: ApiServer) -> None:
    made = step(names, OBJECTS)
    made.apply(NoWork())
    shop = server.objects["/api/v1/namespaces/shop"]
    shop["metadata"] = {"name": "shop", "uid": "1", "deletionTimestamp": "2026-01-01T00:00:00Z"}
    assert made.check() == Status(State.DRIFTED, "Namespace shop is being deleted")
    timer = threading.Timer(0.1, lambda: [server.objects.pop(place) for place in ("/api/v1/namespaces/shop", A, B)])
    timer.start()
    made.apply(NoWork())
    timer.join()
    assert made.check().state is State.READY
    assert {A, B} <= server.objects.keys()


def test_webhook_that_left_the_manifests_goes_first(names: Names, server: ApiServer) -> None:
    """A webhook that nothing answers is taken out of the manifests → it is removed, and the others are applied."""
    kind, api = "ValidatingWebhookConfiguration", "/apis/admissionregistration.k8s.io/v1"
    guard = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "guard"}}
    place = f"{api}/{kind.lower()}s/guard"
    step(names, (SHOP, guard)).apply(NoWork())
    assert place in server.objects

    def admit(manifest: dict[str, Any]) -> dict[str, Any]:
        if place in server.objects and manifest["metadata"].get("namespace") == "shop":
            raise Refused(500, 'failed calling webhook "guard": no endpoints available')
        return manifest

    server.admit = admit
    step(names, (SHOP, config("a"))).apply(NoWork())
    assert A in server.objects and place not in server.objects


def test_object_that_may_hold_data_is_only_named(names: Names, server: ApiServer) -> None:
    step(names, OBJECTS).apply(NoWork())
    none = step(names, ())
    assert none.check() == Status(State.DRIFTED, "no longer in the manifests: ConfigMap shop/a, ConfigMap shop/b")
    none.apply(NoWork())
    assert none.check() == Status(State.READY, "left for you to delete: Namespace shop")
    assert "/api/v1/namespaces/shop" in server.objects and A not in server.objects
    del server.objects["/api/v1/namespaces/shop"]
    none.apply(NoWork())
    assert none.check().detail == ""


def test_killed_apply_is_not_ready_and_keeps_its_record(names: Names, server: ApiServer) -> None:
    step(names, OBJECTS).apply(NoWork())
    records = Records.of(names)
    known = applying.read(records, "applied")
    assert known is not None
    applying.write(records, "applied", known.keys)  # as it is from the beginning of an apply to its end
    assert step(names, OBJECTS).check().detail == "the last `up` did not come to its end"
    del server.objects[B]
    assert step(names, OBJECTS).check().detail == "ConfigMap shop/b is not there yet"
    server.objects[B] = config("b")
    step(names, OBJECTS[:2]).apply(NoWork())
    assert B not in server.objects


@pytest.mark.security(20)
def test_a_planted_record_deletes_nothing(names: Names, server: ApiServer) -> None:
    """A pod writes the record of what was applied → nothing that it names is deleted, and `up` writes its own."""
    made = step(names, OBJECTS[:2])
    made.apply(NoWork())
    server.objects[B] = config("b")
    server.objects[RECORD]["data"]["objects"] = json.dumps([["v1", "ConfigMap", "shop", "b"]])
    assert made.check().state is State.ABSENT
    made.apply(NoWork())
    assert B in server.objects
    assert made.check().state is State.READY


def test_image_without_a_source_is_reported_before_apply(names: Names, server: ApiServer, registry: Simulator) -> None:
    made = step(names, (SHOP, pod("r/x:1"), pod("quay.io/y:1")), ImageNames(prefix="r", url=registry.url))
    with pytest.raises(SandboxError, match="nothing provides the image r/x:1") as caught:
        made.apply(NoWork())
    assert caught.value.details == "Pod p: r/x:1"
    where = "write images.yaml, name it in sandbox.yaml (push: images.yaml), with"
    assert caught.value.fix.startswith(f"{where}: - {{from: build, context: ./x, as: x:1}}")
    assert "/api/v1/namespaces/shop" not in server.objects


def test_silent_registry_leaves_the_status_open(names: Names, server: ApiServer, tmp_path: Path) -> None:
    (tmp_path / "images.yaml").write_text("images: [x:1]\n")
    step(names, (SHOP,)).apply(NoWork())
    images = ImageNames(prefix="localhost:1", url="http://127.0.0.1:1").with_images(tmp_path / "images.yaml")
    assert step(names, (SHOP, pod("x:1")), images).check().state is State.UNSEEN


def test_objects_in_an_existing_cluster_go_to_one_namespace(names: Names, server: ApiServer) -> None:
    records = SandboxNamespace(names, "ann").records
    within = OneNamespace(name="ann", pods="", records=records, registry=lambda: "", adapted=list)
    made = replace(step(names, [config("a"), config("b")]), within=within)
    made.apply(NoWork())
    assert made.check().state is State.READY
    place = "/api/v1/namespaces/ann/configmaps"
    assert server.objects.keys() == {f"{place}/{name}" for name in ("a", "b", "sandbox-applied")}
    assert all(live["metadata"]["labels"] == {LABEL: names.name} for live in server.objects.values())
    theirs = {**config("b"), "metadata": {"name": "b", "namespace": "ann"}}
    server.objects[f"{place}/b"] = theirs  # deleted and made again, by another user
    none = replace(made, manifests=())
    assert none.check().state is State.DRIFTED
    none.apply(NoWork())
    assert none.check().state is State.READY
    assert f"{place}/a" not in server.objects
    assert server.objects[f"{place}/b"] == theirs


APP = "/apis/apps/v1/namespaces/shop/deployments/app"


def deployment(ready: int, **more: str) -> dict[str, object]:
    status = {"readyReplicas": ready, "updatedReplicas": 1, "replicas": 1, "observedGeneration": 1}
    metadata = {"name": "app", "namespace": "shop", "generation": 1, **more}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "status": status}


def test_rollout_waits_for_applied_objects_that_still_exist(names: Names, server: ApiServer) -> None:
    step = WorkloadsStep(names)
    assert step.check().state is State.READY, "nothing was applied"
    keys = [ObjectKey("apps/v1", "Deployment", "shop", name) for name in ("app", "gone")]
    applying.write(Records.of(names), "applied", [*keys, ObjectKey("v1", "ConfigMap", "shop", "a")], "digest")
    server.objects[APP] = deployment(ready=0)
    assert step.check() == Status(State.DRIFTED, "Deployment shop/app: 0 of 1 pods ready")
    timer = threading.Timer(0.1, server.objects.__setitem__, (APP, deployment(ready=1)))
    timer.start()
    step.apply(NoWork())
    assert step.check().state is State.READY
    timer.join()
    assert step.undo() is False
    server.objects[APP] = deployment(ready=0, deletionTimestamp="2026-01-01T00:00:00Z")
    assert step.check().state is State.READY
