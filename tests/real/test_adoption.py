"""A cluster and a registry that kind's script made, and that the spec names, are used and left alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import yaml

from sandbox.bundle.recipe import recipes
from sandbox.engine import Engine
from sandbox.system.wait import wait_until
from tests.real import byhand, machine
from tests.real.application import Application
from tests.real.byhand import ByHand
from tests.real.machine import tool
from tests.support.bundled import engine_with

pytestmark = [pytest.mark.real, pytest.mark.nightly]

NAME = "test-adoption"
NEIGHBOUR = "sandbox-test-byhand"
THEIRS = "theirs"


@dataclass(frozen=True)
class Theirs:
    """Whatever is the user's own, as it can be compared."""

    objects: machine.Listing
    containers: frozenset[tuple[str, str, bool]]
    hosts: str
    kubeconfig: object
    tag: str


@dataclass(frozen=True)
class Neighbourhood:
    """The user's cluster and registry, and the files of a sandbox whose spec names them."""

    made: ByHand
    port: int
    app: Application
    engine: Engine

    def theirs(self) -> Theirs:
        containers = (self.engine.container(name) for name in (self.made.node, byhand.REGISTRY))
        return Theirs(
            machine.listing(self.made.cluster),
            frozenset((one.name, one.id, one.running) for one in containers if one),
            tool("docker", "exec", self.made.node, "grep", "-r", "", "/etc/containerd/certs.d"),
            yaml.safe_load(self.made.kubeconfig.read_text()),
            self.tags(THEIRS),
        )

    def tags(self, repository: str) -> str:
        return tool("curl", "--silent", f"http://127.0.0.1:{self.port}/v2/{repository}/tags/list")

    def different(self, before: Theirs) -> str | None:
        """What is not as it was."""
        now = self.theirs()
        fields = ("containers", "hosts", "kubeconfig", "tag")
        changed = [field for field in fields if getattr(now, field) != getattr(before, field)]
        return f"{changed} {sorted(now.objects ^ before.objects)}" if now != before else None


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbourhood]:
    engine, folder = engine_with("busybox"), tmp_path_factory.mktemp("adoption")
    if engine.container(byhand.REGISTRY):
        machine.leave_out(f"there is a {byhand.REGISTRY} on this machine that is a user's")
    first, second, own, port = machine.free_ports(9475, 9476, 5045, 5046)
    app = Application(NAME, folder, own, (first, second))
    with (
        byhand.cluster(NEIGHBOUR, folder, folder / "kubeconfig") as made,
        byhand.registry(made, port),
    ):
        image = f"localhost:{port}/{THEIRS}:1"
        tool("docker", "tag", recipes()["busybox"].reference, image)
        try:
            tool("docker", "push", image)
        finally:
            tool("docker", "rmi", "--no-prune", image)
        registry = {"port": own, "external": f"localhost:{port}"}
        app.write(cluster={"provider": "existing", "context": made.context}, registry=registry)
        try:
            yield Neighbourhood(made, port, app, engine)
        finally:
            app.command("down", "--purge", status=None)


def test_adopted_cluster_serves_images_of_its_own_registry(place: Neighbourhood) -> None:
    before, app = place.theirs(), place.app
    app.command("up", "--yes")
    assert app.page() == "first"
    (pod,) = place.made.cluster.list("v1", "Pod", f"sandbox-{NAME}", selector="app=app")
    assert pod["spec"]["containers"][0]["image"].startswith(f"localhost:{place.port}/app:1@sha256:")
    assert f"localhost:{place.port}/" in tool("docker", "exec", place.made.node, "crictl", "images")
    assert place.engine.container(app.names.node) is None and place.engine.container(app.names.registry) is None

    events = [json.loads(line) for line in app.command("up", "--progress", "json").err.splitlines()]
    assert {event["event"] for event in events} == {"unchanged"}
    app.command("push-images", "--verify")

    app.command("down")
    # The API server takes its time for what a namespace held.
    wait_until(lambda: place.different(before), what="their cluster as it was", timeout=60)
    assert "1" in json.loads(place.tags("app"))["tags"], (
        "what was pushed is in their registry, where nothing is deleted"
    )
