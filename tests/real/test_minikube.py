"""minikube's own addons by the spec and by commands, on a real minikube: configured unasked, and looked at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.app import context
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.kube.api import Cluster
from sandbox.system.wait import wait_until
from tests.real import machine, minikube
from tests.real.changing import Changing
from tests.real.machine import tool
from tests.real.minikube import own

pytestmark = [pytest.mark.real, pytest.mark.nightly]

NAME = "test-minikube"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Changing]:
    engine, folder = machine.engine(), tmp_path_factory.mktemp("minikube")
    variables = minikube.variables(engine, folder / "home")
    port, registry = machine.free_ports(9473, 5073)
    store, ours = Store(context.home().bundle), ("metrics-server", "local-path-provisioner", "busybox")
    images = [{"from": "archive", "path": str(store.image(recipes()[one])), "as": f"{one}:1"} for one in ours]
    (folder / "images.yaml").write_text(yaml.safe_dump({"images": images}))
    made = Changing.on_minikube(NAME, folder, registry=registry, port=port, env=variables)
    try:
        made.run("bundle", "build", "metrics-server")
        made.up()
        yield made
    finally:
        made.run("down", NAME, "--purge", status=None)


@pytest.fixture
def metrics(sandbox: Changing) -> dict[str, Any]:
    return own("metrics-server", sandbox.spec["registry"]["port"], MetricsServer="metrics-server:1")


@pytest.fixture
def disks(sandbox: Changing) -> dict[str, Any]:
    images = {"LocalPathProvisioner": "local-path-provisioner:1", "Helper": "busybox:1"}
    return own("storage-provisioner-rancher", sandbox.spec["registry"]["port"], **images)


def test_all_of_minikube_s_are_listed_as_minikube_has_them(sandbox: Changing) -> None:
    listed = sandbox.addons()
    program = Path(sandbox.env["PATH"].partition(":")[0]) / "minikube"
    said = tool(program, "addons", "list", "-o", "json", "--profile", sandbox.names.cluster, env=sandbox.env)
    theirs = {name: about["Status"] == "enabled" for name, about in json.loads(said).items()}
    assert {name: state != "off" for name, (state, _) in listed.items()} == theirs
    assert {by for _, by in listed.values()} == {None}


def test_addon_that_cannot_be_enabled_leaves_no_trace(sandbox: Changing) -> None:
    assert "error[addon-image]" in sandbox.run("addons", "enable", "metrics-server", status=1).err
    assert sandbox.addons()["metrics-server"] == ("off", None)
    assert "'metrics-server' is not enabled" in sandbox.run("addons", "disable", "metrics-server", status=2).err
    assert sandbox.up() == set()


@pytest.mark.parametrize("command", ["up", "start"])
def test_node_that_the_engine_restarted_is_repaired(sandbox: Changing, command: str) -> None:
    """minikube leaves the kubelet's unit disabled, so that only the node's container comes back."""
    tool("docker", "restart", sandbox.names.cluster)
    sandbox.run("status", status=1)
    sandbox.run(command)
    sandbox.run("status")
    assert sandbox.up() == set()


def test_addons_of_the_spec_are_enabled_answer_and_are_removed(sandbox: Changing, metrics: dict[str, Any]) -> None:
    assert "Addons of minikube" in sandbox.up(addons=[metrics])
    assert sandbox.addons()["metrics-server"] == ("ready", "spec")
    assert sandbox.names.cluster in sandbox.kubectl("top", "nodes")
    assert sandbox.up(addons=[metrics]) == set()
    assert "sandbox.yaml has" in sandbox.run("addons", "disable", "metrics-server", status=2).err
    assert sandbox.up() == {"Unused minikube addons", f"Spec of {NAME}"}
    assert sandbox.addons()["metrics-server"] == ("off", None)
    assert "metrics-server" not in sandbox.kubectl("get", "deployments", "-A", "-o", "name")


def test_additional_minikube_provisioner_gives_disks(sandbox: Changing, disks: dict[str, Any]) -> None:
    sandbox.up(addons=[disks])
    assert sandbox.addons()["storage-provisioner-rancher"] == ("ready", "spec")
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Mi"}},
        "storageClassName": "local-path",
    }
    image = f"localhost:{sandbox.spec['registry']['port']}/busybox:1"
    container = {"name": "w", "image": image, "command": ["sh", "-c", "echo kept > /data/x && cat /data/x"]}
    pod = {
        "restartPolicy": "Never",
        "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}],
        "containers": [{**container, "volumeMounts": [{"name": "d", "mountPath": "/data"}]}],
    }
    for kind, content in (("PersistentVolumeClaim", claim), ("Pod", pod)):
        metadata = {"name": "data", "namespace": "default"}
        Cluster(sandbox.names.kubeconfig).apply(
            {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": content}
        )
    sandbox.kubectl("wait", "pod/data", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=90s")
    assert sandbox.kubectl("logs", "data").strip() == "kept"
    sandbox.kubectl("delete", "pod/data", "pvc/data")


@pytest.mark.timeout(400)
def test_addons_survive_a_stop(sandbox: Changing, metrics: dict[str, Any]) -> None:
    """minikube's metrics-server asks kubelets once a minute, and is ready when it has asked twice."""
    sandbox.up(addons=[metrics])
    sandbox.run("stop")
    assert "error[not-up]" in sandbox.run("addons", "enable", "metrics-server", status=1).err
    sandbox.run("start")

    def other() -> str | None:
        state = sandbox.addons()["metrics-server"]
        return None if state == ("ready", "spec") else str(state)

    wait_until(other, what="the addon", timeout=180)
