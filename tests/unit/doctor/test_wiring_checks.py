"""The parts that run, found or not found by each other."""

from __future__ import annotations

import pytest

from sandbox.components.edge import edge_folder, routes
from sandbox.components.edge.routes import Route
from sandbox.doctor import wiring_checks
from sandbox.doctor.doctor_context import Scene
from sandbox.doctor.row import Status
from sandbox.engine import ContainerSpec
from sandbox.names import EDGE
from tests.support.fakes import NETWORK, FakeEngine
from tests.unit.doctor.conftest import IMAGE


def start(scene: Scene, engine: FakeEngine, name: str) -> None:
    if NETWORK not in engine.networks:
        engine.create_network(NETWORK, scene.names.labels)
    engine.run(ContainerSpec(name=name, image=IMAGE, command=("x",), labels=scene.home.labels, network=NETWORK))


def test_before_the_first_up_there_is_nothing_to_judge(scene: Scene) -> None:
    assert {check.look(scene).status for check in wiring_checks.CHECKS} == {Status.SKIPPED}


def test_a_container_that_has_stopped_is_an_error(scene: Scene, engine: FakeEngine) -> None:
    for name in (EDGE, scene.names.registry, scene.names.node):
        start(scene, engine, name)
        engine.boxes[name].running = False
    parts = [check for check in wiring_checks.CHECKS if check.id != "wiring.network"]
    assert {check.look(scene).status for check in parts} == {Status.ERROR}
    assert wiring_checks.registry(scene).fix == f"docker logs {scene.names.registry}"


def test_a_node_that_does_not_know_the_registry_is_an_error(scene: Scene, engine: FakeEngine) -> None:
    start(scene, engine, scene.names.node)
    start(scene, engine, scene.names.registry)
    found = wiring_checks.node(scene)
    assert found.status is Status.ERROR and "hosts.toml" in found.evidence


def test_the_edge_must_follow_its_routes(scene: Scene, engine: FakeEngine) -> None:
    start(scene, engine, EDGE)
    assert wiring_checks.edge(scene).status is Status.SKIPPED
    routes.save(
        scene.home.edge, Route("demo", "demo.test", scene.names.node, (("127.0.0.1", 443),), 1.0, network=NETWORK)
    )
    assert "configuration" in wiring_checks.edge(scene).evidence
    edge_folder.write(scene.home.edge, routes.load(scene.home.edge))
    edge_folder.note_taken(scene.home.edge)
    found = wiring_checks.edge(scene)
    assert (found.status, found.evidence) == (Status.OK, f"*.demo.test leads to {scene.names.node}")


@pytest.mark.fault(84)
def test_a_node_off_the_network_is_named_with_its_fix(scene: Scene, engine: FakeEngine) -> None:
    """The node is off the sandbox's network, or that is gone → the doctor names it, and `up` is the fix."""
    labels = {f"io.x-k8s.kind.{key}": value for key, value in (("cluster", "sandbox-demo"), ("role", "control-plane"))}
    engine.create_network(NETWORK, scene.names.labels)
    engine.run(ContainerSpec(name=scene.names.node, image=IMAGE, command=("x",), labels=labels, network=NETWORK))
    assert wiring_checks.network(scene).status is Status.OK
    engine.disconnect_network(NETWORK, scene.names.node)
    found = wiring_checks.network(scene)
    assert (found.status, found.evidence) == (Status.ERROR, f"not on {NETWORK}: {scene.names.node}")
    engine.remove_network(NETWORK)
    assert wiring_checks.network(scene).evidence == f"the network {NETWORK} is gone"
