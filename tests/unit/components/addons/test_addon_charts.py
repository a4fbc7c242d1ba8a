"""Addons that are charts: pinned or locked, their images in the registry by digest, served, and gone whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.bundle.store import Store
from sandbox.components.addons.addon_manager import AddonManager
from sandbox.components.addons.catalogue import WantedAddon
from sandbox.components.addons.steps import AddonStep
from sandbox.components.workloads.chart_archives import ChartChanged
from sandbox.components.workloads.helm import Helm
from sandbox.errors import SandboxError
from sandbox.images.lockfile import LockFile
from sandbox.images.push_step import PushStep
from sandbox.kube.api import Cluster
from sandbox.names import Names
from sandbox.oci.oci_errors import RegistryError
from sandbox.step import State
from tests.support import fake_helm
from tests.support.api_server import ApiServer
from tests.support.controllers import Controllers
from tests.support.fake_helm import calls, packed
from tests.support.fakes import FakeEngine, NoWork
from tests.support.images import TestImage, layer
from tests.support.registry_simulator import Simulator
from tests.unit.components.addons.managers import add_node, addon_manager

INGRESS = "/apis/networking.k8s.io/v1/namespaces/{}/ingresses/{}"
KIND = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.example.dev"
CHART = """\
apiVersion: batch/v1
kind: CronJob
metadata: {name: tick}
spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: c, image: "UPSTREAM/acme/web:1"}]}}}}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.dev}
spec: {group: example.dev, names: {kind: Thing, plural: things}, scope: Namespaced}
"""


@dataclass
class Scene:
    """An addon in a folder, what its chart and its image come from, and the manager that enables it."""

    folder: Path
    manager: AddonManager
    upstream: Simulator
    registry: Simulator
    asked: Path

    def describe(self, **changes: Any) -> None:
        content = yaml.safe_load((self.folder / "addon.yaml").read_text())
        content["chart"] |= changes
        (self.folder / "addon.yaml").write_text(yaml.safe_dump(content))

    def publish(self, number: int) -> str:
        """Have the tag of the image at its registry stand for another image; gives the digest."""
        return self.upstream.publish(TestImage((layer(number),)), "acme/web", "1")

    def install(self) -> None:
        AddonStep(self.manager).apply(NoWork())

    def remove(self) -> None:
        (record,) = self.manager.records().values()
        self.manager.remove(record)

    def manifest(self) -> str:
        names = self.manager.names
        release = Helm.find(Store(names.home.bundle)).release("mine", "mine", names.kubeconfig)
        assert release is not None
        return release.manifest


@pytest.fixture
def scene(
    engine: FakeEngine,
    names: Names,
    server: ApiServer,
    registry: Simulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Scene]:
    server.objects = Controllers()
    add_node(engine, names)
    asked, remote = fake_helm.install(tmp_path, monkeypatch), tmp_path / "remote"
    remote.mkdir()
    monkeypatch.setenv("HELM_REMOTE", str(remote))
    folder = tmp_path / "mine"
    folder.mkdir()
    chart = {"chart": "web", "repo": "https://charts.example", "version": "1.2.3", "values": {"url": "${url}"}}
    about = {"title": "mine", "chart": chart, "page": {"service": "web", "port": 80}}
    (folder / "addon.yaml").write_text(yaml.safe_dump(about))
    manager = addon_manager(
        engine,
        names,
        str(folder),
        registry=registry.url,
        values={"domain": "demo.test", "https_port": "8443", "sandbox": "demo"},
        push=lambda file: PushStep(engine, LockFile.of(file), registry.url),
    )
    with Simulator() as upstream:
        away = upstream.url.removeprefix("http://")
        (remote / "web-1.2.3.tgz").write_bytes(packed(CHART.replace("UPSTREAM", away)))
        made = Scene(folder, manager, upstream, registry, asked)
        made.publish(1)
        yield made


def test_chart_runs_with_images_of_the_registry_by_digest(scene: Scene, server: ApiServer) -> None:
    digest = scene.publish(1)
    scene.install()
    host = scene.registry.url.removeprefix("http://")
    assert f"{host}/addons/mine/acme/web:1@{digest}" in scene.manifest()
    assert AddonStep(scene.manager).check().state is State.READY
    (words,) = calls(scene.asked, "upgrade")
    (values,) = [word.partition("=")[2] for word in words if word.startswith("--values=")]
    assert yaml.safe_load(Path(values).read_text()) == {"url": "https://mine.demo.test:8443"}
    rules = server.objects[INGRESS.format("mine", "addon-mine")]["spec"]["rules"]
    assert rules[0]["host"] == "mine.demo.test"
    assert scene.manager.charts.size("mine")
    (chosen,) = scene.manager.chosen({})
    assert scene.manager.url(chosen) == "https://mine.demo.test:8443"
    assert replace(scene.manager, served=False).url(chosen) is None


def test_chart_s_images_come_from_the_mirror_of_their_registry(scene: Scene) -> None:
    digest, host = scene.publish(1), scene.upstream.url.removeprefix("http://")
    mirror, charts = host.replace("127.0.0.1", "localhost"), scene.manager.charts
    scene.manager = replace(scene.manager, charts=replace(charts, mirrors={host: mirror}))
    scene.install()
    assert f"addons/mine/acme/web:1@{digest}" in scene.manifest()
    (listed,) = yaml.safe_load((charts.names.home.addons / "mine" / "images.yaml").read_text())["images"]
    assert listed["image"] == f"{mirror}/acme/web:1" and listed["for"] == [f"{host}/acme/web:1"]


def test_instructions_name_the_secret_with_the_password(scene: Scene) -> None:
    text = (scene.folder / "addon.yaml").read_text()
    more = {"login": {"user": "admin", "secret": "web", "key": "password"}, "hint": "token ${password} at ${host}"}
    (scene.folder / "addon.yaml").write_text(text + yaml.safe_dump(more))
    (chosen,) = scene.manager.chosen({})
    hint, login = scene.manager.instructions(chosen)
    assert (hint, login) == scene.manager.instructions(chosen), "it is the same each time"
    assert hint.endswith(" at mine.demo.test") and len(hint.split()[1]) == 24
    assert login.startswith("user admin, password: kubectl --context sandbox-demo get secret web -n mine -o ")


def test_chart_goes_with_its_images_ingress_and_namespace(scene: Scene, server: ApiServer) -> None:
    first = scene.publish(1)
    scene.install()
    scene.remove()
    assert [words[-1] for words in calls(scene.asked, "uninstall")] == ["mine"]
    assert "/api/v1/namespaces/mine" not in server.objects
    assert not [path for path in server.objects if path.endswith("addon-mine") or "chart-of" in path]
    assert not [place for place in scene.registry.manifests if place[0].startswith("addons/")]
    scene.publish(2)
    scene.install()
    assert first in scene.manifest(), "an image without a digest stays as first fetched"


@pytest.mark.fault(95)
def test_chart_or_image_of_another_digest_than_pinned_is_refused(scene: Scene) -> None:
    """The registry or the repository has something else than the addon pins → an error, and nothing is installed."""
    other = f"sha256:{hashlib.sha256(b'other').hexdigest()}"
    scene.describe(images={f"{scene.upstream.url.removeprefix('http://')}/acme/web:1": other})
    with pytest.raises((SandboxError, RegistryError)):
        scene.install()
    scene.describe(digest=other)
    with pytest.raises(ChartChanged) as caught:
        scene.install()
    assert "do not use it" in caught.value.fix
    assert not calls(scene.asked, "upgrade")


@pytest.mark.fault(96)
def test_host_of_another_ingress_is_not_taken(scene: Scene, server: ApiServer) -> None:
    """An Ingress of the user's has the addon's host → an error that names it, and nothing is installed."""
    spec = {"rules": [{"host": "mine.demo.test"}]}
    other = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "spec": spec}
    server.objects[INGRESS.format("shop", "web")] = {**other, "metadata": {"name": "web", "namespace": "shop"}}
    with pytest.raises(SandboxError, match=r"mine\.demo\.test is a host of Ingress .*web already"):
        scene.install()
    assert not calls(scene.asked, "upgrade")


def test_kinds_of_the_user_stay_when_an_addon_goes(scene: Scene, server: ApiServer, names: Names) -> None:
    kind = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    mine = {**kind, "metadata": {"name": "things.example.dev"}}
    Cluster(names.kubeconfig).apply(mine)
    scene.install()
    scene.remove()
    assert KIND in server.objects
    Cluster(names.kubeconfig).delete(kind["apiVersion"], kind["kind"], "things.example.dev", None)
    scene.install()
    Cluster(names.kubeconfig).apply(mine)  # as helm would
    scene.remove()
    assert KIND not in server.objects


def test_values_of_the_spec_are_values_of_the_chart(scene: Scene) -> None:
    values = {"replicas": "2", "image.tag": "dev", "debug": "true"}
    scene.manager = replace(scene.manager, uses=(WantedAddon(str(scene.folder), values),))
    scene.install()
    (words,) = calls(scene.asked, "upgrade")
    assert {"--set-json=replicas=2", "--set-file=image.tag@dev", "--set-json=debug=true"} <= set(words)
