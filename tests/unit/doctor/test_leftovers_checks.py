"""What is told of things that belong to no one."""

from __future__ import annotations

from sandbox.components.edge import routes
from sandbox.components.edge.route import Route
from sandbox.doctor import leftovers_checks
from sandbox.doctor.check import Status
from sandbox.doctor.doctor_context import DoctorContext
from sandbox.engine import ContainerSpec
from sandbox.names import EDGE, LABEL
from tests.support.fakes import NETWORK, FakeEngine
from tests.unit.doctor.conftest import IMAGE


def start(context: DoctorContext, engine: FakeEngine, name: str, sandbox: str) -> None:
    if NETWORK not in engine.networks:
        engine.create_network(NETWORK, context.names.labels)
    labels = {**context.home.labels, LABEL: sandbox}
    engine.run(ContainerSpec(name=name, image=IMAGE, command=("x",), labels=labels, network=NETWORK))


def test_no_leftovers_is_ok(context: DoctorContext) -> None:
    assert {check.inspect(context).status for check in leftovers_checks.CHECKS} == {Status.OK}


def test_a_sandbox_with_everything_is_well(context: DoctorContext, engine: FakeEngine) -> None:
    context.names.folder.mkdir(parents=True)
    context.names.keys.mkdir(parents=True)
    routes.save(context.home.edge, Route("demo", "demo.test", context.names.node, (("127.0.0.1", 443),), 1.0))
    for name, owner in ((context.names.node, "demo"), (context.names.registry, "demo"), (EDGE, "")):
        start(context, engine, name, owner)
    engine.create_volume(context.names.volume, context.names.labels)
    assert {check.inspect(context).status for check in leftovers_checks.CHECKS} == {Status.OK}


def test_data_that_down_kept_is_well(context: DoctorContext, engine: FakeEngine) -> None:
    context.names.keys.mkdir(parents=True)
    engine.create_volume(context.names.volume, context.names.labels)
    assert leftovers_checks.volumes(context).status is Status.OK


def test_containers_and_data_without_an_owner_are_named(context: DoctorContext, engine: FakeEngine) -> None:
    start(context, engine, "sandbox-old-registry", "old")
    engine.create_volume("sandbox-gone-registry", context.home.sandbox("gone").labels)
    found = leftovers_checks.containers(context)
    assert (found.status, found.fix) == (Status.WARN, "sandbox down old")
    found = leftovers_checks.volumes(context)
    assert (found.status, found.fix) == (Status.WARN, "sandbox down gone --purge")


def test_unused_edge_and_network_are_named(context: DoctorContext, engine: FakeEngine) -> None:
    start(context, engine, EDGE, "")
    assert leftovers_checks.containers(context).fix == f"docker rm -f {EDGE}"
    engine.remove_container(EDGE)
    assert leftovers_checks.networks(context).status is Status.WARN
