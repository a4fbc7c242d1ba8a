"""Several control planes behind one address: any may be lost, and all of them held still."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.app import context
from sandbox.bundle import system_images
from sandbox.config.schema import Spec
from sandbox.engine import Container
from sandbox.system.wait import wait_until
from tests.real import machine
from tests.real.application import Application
from tests.real.machine import tool
from tests.support.bundled import store_with

pytestmark = [pytest.mark.real, pytest.mark.nightly, pytest.mark.timeout(900)]

NAME = "test-planes"
CLUSTER = {"nodes": {"control_plane": 3}}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    machine.engine()
    if Spec().images.source != "upstream":
        store_with("balancer")
    made = Application.free(NAME, tmp_path_factory.mktemp("planes"))
    made.write(cluster=CLUSTER)
    try:
        made.command("up")
        yield made
    finally:
        made.command("down", "--purge", status=None)


def ready(app: Application, count: int) -> None:
    words = ("get", "nodes", "-o", "jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}")

    def other() -> str | None:
        found = app.kubectl(*words).split().count("True")
        return None if found == count else f"{found} are ready"

    wait_until(other, what="the nodes", timeout=120)


def test_balancer_is_the_image_that_the_sandbox_has(app: Application) -> None:
    ready(app, 3)
    balancer = tool("docker", "inspect", f"{app.names.cluster}-external-load-balancer", "-f", "{{.Image}}").strip()
    spec = Spec.model_validate({"name": NAME, "cluster": CLUSTER})
    own = system_images.for_spec(spec, context.home(), machine.engine())
    assert balancer == machine.engine().image_id(own.references["balancer"])
    assert app.page() == "first"


def test_api_answers_while_a_control_plane_is_lost(app: Application) -> None:
    tool("docker", "kill", f"{app.names.cluster}-control-plane2")
    for _ in range(5):
        assert "app" in app.kubectl("get", "deployments")
    ready(app, 2)
    app.command("up")
    ready(app, 3)


def nodes(app: Application) -> tuple[Container, ...]:
    return machine.engine().containers(f"io.x-k8s.kind.cluster={app.names.cluster}")


def addresses(app: Application) -> dict[str, str]:
    return {one.name: one.addresses[app.names.network] for one in nodes(app)}


def up_again(app: Application) -> None:
    ready(app, 3)
    wait_until(lambda: None if app.page() == "first" else "another page", what="the page", timeout=60)
    assert app.command("up", "--plan").out == ""


def test_all_start_again_at_their_addresses(app: Application) -> None:
    before = addresses(app)
    app.command("stop")
    assert not any(one.running for one in nodes(app))
    app.command("start")
    assert addresses(app) == before
    up_again(app)


@pytest.mark.fault(26)
def test_all_start_again_at_other_addresses(app: Application) -> None:
    """three control planes stop, others take their addresses → `start` brings all back, their etcds know each other"""
    before = addresses(app)
    app.command("stop")
    names = [f"{NAME}-taker-{one}" for one in range(3)]
    try:
        for one in names:
            words = ("--name", one, "--network", app.names.network, "sandbox.dev/busybox", "sleep", "600")
            tool("docker", "run", "--detach", *words)
        app.command("start")
    finally:
        tool("docker", "rm", "-f", *names)
    assert addresses(app) != before
    up_again(app)


def test_all_end_and_start_with_the_engine(app: Application) -> None:
    before = addresses(app)
    names = sorted(before, reverse=True)
    tool("docker", "kill", *names)
    tool("docker", "start", *names)  # as the engine does, in an order of its own
    wait_until(lambda: None if addresses(app) != before else "same", what="other addresses", timeout=10)
    app.command("up")
    up_again(app)


def test_all_are_paused_and_resume(app: Application) -> None:
    app.command("pause")
    assert all(one.paused for one in nodes(app) if "control-plane" in one.name)
    app.command("start")
    up_again(app)
