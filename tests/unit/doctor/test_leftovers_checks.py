"""What is told of things that belong to nobody."""

from __future__ import annotations

from sandbox.components.edge import routes
from sandbox.components.edge.routes import Route
from sandbox.doctor import leftovers_checks
from sandbox.doctor.doctor_context import Scene
from sandbox.doctor.row import Status
from sandbox.engine import ContainerSpec
from sandbox.names import EDGE, LABEL
from sandbox.system.files import exclusive, make_private_dir
from tests.support.fakes import NETWORK, FakeEngine
from tests.unit.doctor.conftest import IMAGE


def start(scene: Scene, engine: FakeEngine, name: str, sandbox: str) -> None:
    if NETWORK not in engine.networks:
        engine.create_network(NETWORK, scene.names.labels)
    labels = {**scene.home.labels, LABEL: sandbox}
    engine.run(ContainerSpec(name=name, image=IMAGE, command=("x",), labels=labels, network=NETWORK))


def test_nothing_is_well(scene: Scene) -> None:
    assert {check.look(scene).status for check in leftovers_checks.CHECKS} == {Status.OK}


def test_a_sandbox_with_everything_is_well(scene: Scene, engine: FakeEngine) -> None:
    scene.names.folder.mkdir(parents=True)
    scene.names.keys.mkdir(parents=True)
    routes.save(scene.home.edge, Route("demo", "demo.test", scene.names.node, (("127.0.0.1", 443),), 1.0))
    for name, owner in ((scene.names.node, "demo"), (scene.names.registry, "demo"), (EDGE, "")):
        start(scene, engine, name, owner)
    engine.create_volume(scene.names.volume, scene.names.labels)
    assert {check.look(scene).status for check in leftovers_checks.CHECKS} == {Status.OK}


def test_data_that_down_kept_is_well(scene: Scene, engine: FakeEngine) -> None:
    scene.names.keys.mkdir(parents=True)
    engine.create_volume(scene.names.volume, scene.names.labels)
    assert leftovers_checks.volumes(scene).status is Status.OK


def test_containers_and_data_of_nobody(scene: Scene, engine: FakeEngine) -> None:
    start(scene, engine, "sandbox-old-registry", "old")
    engine.create_volume("sandbox-gone-registry", scene.home.sandbox("gone").labels)
    found = leftovers_checks.containers(scene)
    assert (found.status, found.fix) == (Status.WARN, "sandbox down old")
    found = leftovers_checks.volumes(scene)
    assert (found.status, found.fix) == (Status.WARN, "sandbox down gone --purge")


def test_files_without_a_node(scene: Scene) -> None:
    scene.names.folder.mkdir(parents=True)
    found = leftovers_checks.files(scene)
    assert (found.status, found.fix) == (Status.WARN, "sandbox down demo")


def test_files_of_a_sandbox_that_is_coming_up(scene: Scene) -> None:
    scene.names.folder.mkdir(parents=True)
    lock = scene.home.state / "locks" / "demo"
    make_private_dir(lock)
    with exclusive(lock):
        assert leftovers_checks.files(scene).status is Status.OK
    assert leftovers_checks.files(scene).status is Status.WARN


def test_an_edge_that_leads_nowhere_and_a_network_of_nobody(scene: Scene, engine: FakeEngine) -> None:
    start(scene, engine, EDGE, "")
    assert leftovers_checks.containers(scene).fix == f"docker rm -f {EDGE}"
    engine.remove_container(EDGE)
    assert leftovers_checks.networks(scene).status is Status.WARN
