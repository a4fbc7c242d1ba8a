"""Addons that are charts, in a real cluster: pulled from a repository, served at once, gone whole, and there again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from sandbox.app import context
from sandbox.kube.api import Cluster
from sandbox.names import Names
from tests.real import machine
from tests.real.machine import CommandLine, tool
from tests.real.served import Sandbox
from tests.support import bundled
from tests.support.http_server import serving

pytestmark = [pytest.mark.real, pytest.mark.nightly, pytest.mark.timeout(400)]

NAME = "test-charted"
CHARTS = Path(__file__).parent / "charts"


@dataclass(frozen=True)
class Place:
    folder: Path
    repository: Path
    port: int

    @property
    def names(self) -> Names:
        return context.home().sandbox(NAME)

    @property
    def command(self) -> CommandLine:
        return CommandLine({"KUBECONFIG": str(self.folder / "kubeconfig")}, self.folder)

    @property
    def cluster(self) -> Cluster:
        return Cluster(self.names.kubeconfig)

    @property
    def served(self) -> Sandbox:
        return Sandbox(self.names, self.port)

    def publish(self, text: str) -> None:
        helm = bundled.helm().program
        chart = self.folder / "chart"
        shutil.rmtree(chart, ignore_errors=True)
        shutil.copytree(CHARTS / "page", chart)
        (chart / "values.yaml").write_text(f"image: sandbox.dev/busybox:latest\ntext: {text}\n")
        tool(helm, "package", chart, f"--destination={self.repository}")
        tool(helm, "repo", "index", self.repository)

    def states(self) -> dict[str, tuple[str, str | None]]:
        rows = json.loads(self.command("addons", "list", "-o", "json").out)
        return {row["name"]: (row["state"], row["url"]) for row in rows}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    machine.engine()
    folder, repository = tmp_path_factory.mktemp("charted"), tmp_path_factory.mktemp("repository")
    port, registry = machine.free_ports(9463, 5063)
    made = Place(folder, repository, port)
    made.publish("hello")
    files = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(repository)))
    chart = {"chart": "page", "repo": f"http://127.0.0.1:{files.server_port}", "version": "1.0.0"}
    about = {"title": "a page", "chart": {**chart, "values": {"text": "${domain}"}}}
    (folder / "word").mkdir()
    (folder / "word" / "addon.yaml").write_text(yaml.safe_dump({**about, "page": {"service": "page", "port": 80}}))
    spec = {"name": NAME, "registry": {"port": registry}, "edge": {"ports": [port]}}
    (folder / "sandbox.yaml").write_text(yaml.safe_dump(spec))
    with serving(files):
        try:
            made.command("up")
            yield made
        finally:
            made.command("down", NAME, "--purge", status=None)


def test_chart_addon_is_served_goes_whole_and_comes_again(place: Place) -> None:
    before = machine.listing(place.cluster)
    host = f"word.{NAME}.sandbox.localhost"
    for _ in range(2):
        said = place.command("addons", "enable", "./word").out
        assert said.splitlines()[0] == f"https://{host}:{place.port}"
        assert place.served.curl(host).splitlines()[-1] == f"{NAME}.sandbox.localhost"
        assert place.states()["word"] == ("ready", f"https://{host}:{place.port}")
        pods = place.cluster.list("v1", "Pod", "word")
        image = pods[0]["spec"]["containers"][0]["image"]
        assert image.startswith("localhost:") and "/addons/word/" in image and "@sha256:" in image
        assert place.cluster.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", "things.example.dev")
        place.command("addons", "disable", "word")
        assert machine.listing(place.cluster) <= before
        assert "addons/word" not in place.command("images", "list").out
    assert "is not enabled" in place.command("addons", "disable", "word", status=2).err


@pytest.mark.fault(95)
def test_chart_that_changed_after_the_first_enable_is_refused(place: Place) -> None:
    """Another archive is published under the version that was locked → refused, and nothing is left."""
    before = machine.listing(place.cluster)
    place.command("addons", "enable", "./word")
    place.command("addons", "disable", "word")
    place.publish("other")
    shutil.rmtree(context.home().charts)
    said = place.command("addons", "enable", "./word", status=1).err
    assert "is not the one that is locked" in said
    assert machine.listing(place.cluster) == before


@pytest.mark.fault(96)
def test_host_that_an_ingress_has_is_not_taken(place: Place) -> None:
    """The user's Ingress has the addon's host → an error that names it, and nothing is left of the addon."""
    host = f"word.{NAME}.sandbox.localhost"
    backend = {"service": {"name": "mine", "port": {"number": 80}}}
    rule = {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    metadata = {"name": "mine", "namespace": "default"}
    ingress = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": {"rules": [rule]}}
    place.cluster.apply(ingress)
    try:
        before = machine.listing(place.cluster)
        assert (
            f"{host} is a host of Ingress default/mine already"
            in place.command("addons", "enable", "./word", status=1).err
        )
        assert machine.listing(place.cluster) == before
    finally:
        place.cluster.delete("networking.k8s.io/v1", "Ingress", "mine", "default")


def test_repository_that_does_not_answer_is_an_error_with_a_fix(place: Place) -> None:
    folder = place.folder / "far"
    folder.mkdir()
    chart = "{chart: page, repo: 'http://127.0.0.1:9', version: 1.0.0}"
    (folder / "addon.yaml").write_text(f"title: a page\nchart: {chart}\n")
    said = place.command("addons", "enable", "./far", status=1).err
    assert "helm cannot pull http://127.0.0.1:9/page 1.0.0" in said and "try again with a network" in said
    assert place.states().get("far") is None
