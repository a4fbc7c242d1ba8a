"""Containers, networks and volumes that belong to no sandbox."""

from __future__ import annotations

from sandbox.components.edge import routes
from sandbox.components.edge.route import Route
from sandbox.doctor.check import DoctorContext, Status
from sandbox.doctor.sandbox_checks import leftovers
from sandbox.names import EDGE
from tests.support.fakes import FakeEngine
from tests.unit.doctor.conftest import start


def test_sandbox_with_everything_has_no_leftovers(context: DoctorContext, engine: FakeEngine) -> None:
    context.names.keys.mkdir(parents=True)
    engine.create_volume(context.names.volume, context.names.labels)
    assert leftovers(context).status is Status.OK, "`down` keeps data"
    routes.save(context.home.edge, Route("demo", "demo.test", context.names.node, (("127.0.0.1", 443),), 1.0))
    for name, owner in ((context.names.node, "demo"), (context.names.registry, "demo"), (EDGE, "")):
        start(context, engine, name, sandbox=owner)
    assert leftovers(context).status is Status.OK


def test_leftovers_are_named_with_the_commands_that_remove_them(context: DoctorContext, engine: FakeEngine) -> None:
    start(context, engine, "sandbox-old-registry", sandbox="old")
    start(context, engine, EDGE, sandbox="")
    engine.create_volume("sandbox-gone-registry", context.home.sandbox("gone").labels)
    engine.create_network("sandbox-lost", context.home.sandbox("lost").labels)
    finding = leftovers(context)
    assert finding.status is Status.WARN
    assert finding.evidence == f"of no sandbox: sandbox-old-registry, {EDGE}, sandbox-gone-registry, sandbox-lost"
    assert finding.fix.splitlines() == [
        "sandbox down gone --purge",
        "sandbox down old",
        f"docker rm -f {EDGE}",
        "docker network rm sandbox-lost",
    ]
