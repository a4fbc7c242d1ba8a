"""Addons in a cluster: there while a user asks for them, ready, from known images, and gone without a trace."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.bundle.recipe import recipes
from sandbox.components.addons.addon_manager import KUBELET_CERTIFICATE, LABEL
from sandbox.components.addons.steps import AddonStep
from sandbox.errors import SandboxError, UsageError
from sandbox.kube.api import Cluster
from sandbox.kube.records import Records
from sandbox.names import Names
from sandbox.step import State, Status
from tests.support.api_server import ApiServer
from tests.support.controllers import Controllers
from tests.support.fakes import FakeContainer, FakeEngine, NoWork
from tests.support.programs import make_program
from tests.unit.components.addons.managers import add_node, addon_manager, put_image

APP = "/apis/apps/v1/namespaces/default/deployments/app"
TEXT = "/api/v1/namespaces/default/configmaps/text"
RECORD = "/api/v1/namespaces/sandbox-system/configmaps/addon-mine"


def deployment(image: str) -> dict[str, object]:
    template = {"metadata": {"labels": {"app": "app"}}, "spec": {"containers": [{"name": "app", "image": image}]}}
    spec = {"selector": {"matchLabels": {"app": "app"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app"}, "spec": spec}


def config_map(name: str, text: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"text": text}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An addon of the user's own that runs an image of the bundle."""
    place = tmp_path / "mine"
    place.mkdir()
    (place / "addon.yaml").write_text("title: mine\nimages: {image: busybox}\nvalues: {text: hello}\n")
    write(place, config_map("text", "${text} at ${domain}"), deployment("${image}"))
    return place


def write(folder: Path, *objects: dict[str, object]) -> None:
    (folder / "objects.yaml").write_text(yaml.safe_dump_all(objects))


@pytest.fixture
def node(engine: FakeEngine, names: Names) -> FakeContainer:
    box = add_node(engine, names)
    box.files[KUBELET_CERTIFICATE] = b"the kubelet's authority"
    engine.programs["crictl"] = lambda box, argv: (1, "no such image")
    return box


@pytest.fixture
def step(
    engine: FakeEngine, names: Names, server: ApiServer, node: FakeContainer, folder: Path, tmp_path: Path
) -> AddonStep:
    server.objects = Controllers()
    program = make_program(tmp_path / "kind", f'echo "$@" >> {tmp_path}/kind.log')
    put_image(names, "busybox")
    return AddonStep(addon_manager(engine, names, str(folder), kind=program))


def changed(step: AddonStep, **changes: Any) -> AddonStep:
    return replace(step, manager=replace(step.manager, **changes))


def up(step: AddonStep) -> Status:
    step.apply(NoWork())
    return step.check()


def test_addon_is_applied_with_values_and_ready_once_pods_are(
    step: AddonStep, names: Names, server: ApiServer, tmp_path: Path
) -> None:
    assert step.check() == Status(State.ABSENT, "mine: is not there yet")
    assert up(step) == Status(State.READY, "mine")
    assert server.objects[TEXT]["data"] == {"text": "hello at demo.test"}
    image = recipes()["busybox"]
    assert server.objects[APP]["spec"]["template"]["spec"]["containers"][0]["image"] == image.reference
    archive = step.manager.store.image(image)
    assert (tmp_path / "kind.log").read_text() == f"load image-archive {archive} --name {names.cluster}\n"
    del server.objects[APP]["status"]
    assert step.check().state is State.DRIFTED
    assert not step.undo()


def test_unbuilt_component_is_pulled_by_the_engine(
    step: AddonStep, engine: FakeEngine, server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(step.manager.store.folder(recipes()["busybox"]))
    with pytest.raises(SandboxError) as missing:
        step.apply(NoWork())
    assert missing.value.fix == "sandbox bundle build busybox" and server.objects == {}
    reference = f"docker.io/library/busybox:1@sha256:{'ab' * 32}"
    pulling = changed(step, pulled={"busybox": reference})
    monkeypatch.setattr(FakeEngine, "save", lambda _, wanted: iter([wanted[0].encode()]))
    with pytest.raises(SandboxError, match="cannot be pulled") as caught:
        pulling.apply(NoWork())
    assert caught.value.id == "no-images" and server.objects == {}
    assert caught.value.fix.endswith("sandbox bundle build busybox")
    engine.upstream = {reference}
    assert up(pulling) == Status(State.READY, "mine")
    here = "sandbox.dev/busybox:1-abababababab"
    assert server.objects[APP]["spec"]["template"]["spec"]["containers"][0]["image"] == here
    assert engine.image_id(here) == engine.image_id(reference)
    assert "/busybox.tar --name" in (tmp_path / "kind.log").read_text()


def test_change_of_an_addon_adds_and_removes_objects(step: AddonStep, server: ApiServer, folder: Path) -> None:
    up(step)
    write(folder, config_map("other", "x"), deployment("${image}"))
    assert step.check() == Status(State.DRIFTED, "mine: has changed")
    assert up(step).state is State.READY
    assert TEXT not in server.objects and APP in server.objects
    record = step.manager.records()["mine"]  # as an interrupted `up` leaves it
    Records.of(step.manager.names).write(record.title, {**record.data(), "sha256": ""}, {LABEL: "mine"})
    assert step.check() == Status(State.DRIFTED, "mine: has changed")


def test_earlier_objects_stay_when_the_addon_goes(step: AddonStep, server: ApiServer) -> None:
    server.objects[TEXT] = config_map("text", "mine")
    up(step)
    assert changed(step, uses=()).check() == Status(State.DRIFTED, "no longer in the spec: mine")
    assert up(changed(step, uses=())).state is State.READY
    assert TEXT in server.objects
    assert APP not in server.objects and RECORD not in server.objects


def test_a_killed_removal_is_finished_by_the_next_up(
    step: AddonStep, server: ApiServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enabled = changed(step, uses=(), asked=(str(folder),))
    up(enabled)
    bare = changed(step, uses=())
    delete = Cluster.delete

    def killed(self: Cluster, *place: Any, **how: Any) -> None:
        delete(self, *place, **how)
        raise KeyboardInterrupt

    monkeypatch.setattr(Cluster, "delete", killed)
    with pytest.raises(KeyboardInterrupt):
        bare.manager.remove(bare.manager.records()["mine"])
    monkeypatch.undo()
    assert TEXT in server.objects and RECORD in server.objects
    assert bare.check().detail == "no longer in the spec: mine"
    assert up(bare).state is State.READY
    assert not {APP, TEXT, RECORD} & server.objects.keys()


def test_missing_folder_keeps_addon_and_says_how_to_remove_it(step: AddonStep, folder: Path) -> None:
    bare = changed(step, uses=())
    up(changed(bare, asked=(str(folder),)))
    shutil.rmtree(folder)
    assert bare.check() == Status(State.DRIFTED, f"mine: {folder} no longer exists")
    with pytest.raises(UsageError) as caught:
        bare.apply(NoWork())
    assert "sandbox addons disable mine" in caught.value.fix


def test_node_values_are_read_from_the_node(
    step: AddonStep, server: ApiServer, node: FakeContainer, folder: Path
) -> None:
    write(folder, config_map("text", "${node} ${node_address} ${node_hosts} ${kubelet_ca}"), deployment("${image}"))
    up(step)
    name, address = node.spec.name, node.address
    assert server.objects[TEXT]["data"]["text"] == f"{name} {address} {address} {name} the kubelet's authority"


def test_conditions_are_waited_for_too(step: AddonStep, server: ApiServer, folder: Path) -> None:
    up(step)
    condition = "{apiVersion: v1, kind: ConfigMap, namespace: default, name: text, condition: Available}"
    text = (folder / "addon.yaml").read_text()
    (folder / "addon.yaml").write_text(f"{text}ready: [{condition}]\n")
    assert step.check().detail == "mine: ConfigMap default/text is not Available: no message yet"
    server.objects[TEXT]["status"] = {"conditions": [{"type": "Available", "status": "True"}]}
    assert step.check().state is State.READY
