"""Addons in a real cluster: kubectl top gets its answer, and a folder of one's own comes and goes with all it has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from sandbox.names import SYSTEM_NAMESPACE
from sandbox.system.wait import wait_until
from tests.real import machine
from tests.real.changing import Changing

pytestmark = [pytest.mark.real, pytest.mark.nightly]

NAME = "test-addon"
PAGE = """\
apiVersion: v1
kind: Namespace
metadata: {name: mine}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: text, namespace: mine}
data: {text: "${text} from ${domain}"}
---
apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: once, image: "${registry}/mine/busybox:1", command: [busybox, "true"]}]
"""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Changing]:
    machine.engine()
    port, registry = machine.free_ports(9453, 5053)
    folder = tmp_path_factory.mktemp("addons")
    made = Changing.of(NAME, folder, registry=registry, port=port)
    try:
        made.run("bundle", "build", "metrics-server", timeout=1200)
        made.up()
        yield made
    finally:
        made.run("down", NAME, "--purge", status=None)


@pytest.fixture(scope="module")
def mine(sandbox: Changing) -> Path:
    """An addon of the user's own, whose image is not in the registry yet."""
    folder = sandbox.folder / "mine"
    folder.mkdir()
    (folder / "addon.yaml").write_text("title: a page\nvalues: {text: hello}\n")
    (folder / "page.yaml").write_text(PAGE)
    return folder


def _unmeasured(sandbox: Changing, pod: str) -> str | None:
    """What `kubectl top` knows while the pod's figures, which take two looks at it, are not among them."""
    found = sandbox.kubectl("top", "pods", "-n", "kube-system", status=None)
    return None if pod in found else found


def test_kubectl_top_answers_and_disable_leaves_nothing(sandbox: Changing) -> None:
    before = machine.listing(sandbox.cluster)
    sandbox.run("addons", "enable", "metrics-server")
    assert sandbox.names.node in sandbox.kubectl("top", "nodes")
    wait_until(lambda: _unmeasured(sandbox, "kube-apiserver"), what="every pod's figures", timeout=60)
    found = sandbox.cluster.get("apps/v1", "Deployment", "metrics-server", "kube-system")
    assert found is not None and "insecure" not in json.dumps(found["spec"])
    assert sandbox.addons()["metrics-server"] == ("ready", "command")
    assert "Addons" not in sandbox.up(), "it survives an up"
    assert sandbox.addons()["metrics-server"] == ("ready", "command")
    sandbox.run("addons", "disable", "metrics-server")
    assert sandbox.addons()["metrics-server"] == ("off", None)
    assert machine.listing(sandbox.cluster) <= before
    assert "is not enabled" in sandbox.run("addons", "disable", "metrics-server", status=2).err


def test_image_that_cannot_be_pulled_is_an_error_and_leaves_nothing(sandbox: Changing, mine: Path) -> None:
    before = machine.listing(sandbox.cluster)
    said = sandbox.run("addons", "enable", "./mine", status=1).err
    assert "pull" in said
    assert machine.listing(sandbox.cluster) == before


def test_addon_folder_of_the_spec_is_applied_updated_removed(sandbox: Changing, mine: Path) -> None:
    images = [{"from": "daemon", "image": "sandbox.dev/busybox:latest", "as": "mine/busybox:1"}]
    (sandbox.folder / "images.yaml").write_text(yaml.safe_dump({"images": images}))
    sandbox.run("push-images", "images.yaml")
    before = machine.listing(sandbox.cluster)
    assert "Addons" in sandbox.up(addons=[{"addon": "./mine", "values": {"text": "bye"}}])
    text = sandbox.cluster.get("v1", "ConfigMap", "text", "mine")
    assert text is not None and text["data"]["text"] == f"bye from {NAME}.sandbox.localhost"
    assert sandbox.addons()["mine"] == ("ready", "spec")
    assert "sandbox.yaml" in sandbox.run("addons", "disable", "mine", status=2).err
    (mine / "page.yaml").write_text(PAGE.replace("from", "of"))
    assert "Addons" in sandbox.up(addons=["./mine"])
    text = sandbox.cluster.get("v1", "ConfigMap", "text", "mine")
    assert text is not None and text["data"]["text"] == f"hello of {NAME}.sandbox.localhost"
    assert "Addons" in sandbox.up(), "it is not in use any more"
    assert machine.listing(sandbox.cluster) <= before
    assert sandbox.cluster.get("v1", "ConfigMap", "addon-mine", SYSTEM_NAMESPACE) is None
