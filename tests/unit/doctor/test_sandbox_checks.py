"""Certificates, the parts that run, what belongs to no sandbox, and what a user may do in an existing cluster."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from sandbox.components.edge import routes
from sandbox.components.edge.container import EdgeContainer
from sandbox.components.edge.route import Route
from sandbox.config.schema import Cluster, ResolvedSpec
from sandbox.doctor import sandbox_checks
from sandbox.doctor.check import DoctorContext, Row, Status, checked, error
from sandbox.doctor.sandbox_checks import leftovers
from sandbox.names import EDGE
from sandbox.plan import saved_spec
from tests.support.api_server import REVIEWS, ApiServer, kubeconfig
from tests.support.fakes import NETWORK, FakeEngine
from tests.support.registry_simulator import Simulator
from tests.unit.doctor.conftest import start


def later(context: DoctorContext, days: int) -> DoctorContext:
    return replace(context, now=context.now + timedelta(days=days))


@pytest.mark.fault(28)
@pytest.mark.usefixtures("default")
@pytest.mark.parametrize(
    ("days", "status", "evidence", "fix"),
    [
        (0, Status.OK, "the root has 729 days left, default 89 days; limited to demo.sandbox.localhost, ", ""),
        (65, Status.WARN, "default: ", ""),
        (91, Status.ERROR, "default: ", ""),
        (400, Status.ERROR, "issuing CA: ", "sandbox certs renew{which} --authority"),
        (800, Status.ERROR, "root: ", "sandbox certs renew{which} --root, then sandbox certs trust{which}"),
        (-10, Status.ERROR, "root: ", "set this machine's clock; where it is right, "),
    ],
)
def test_certificate_near_its_end_is_reported(
    context: DoctorContext, days: int, status: Status, evidence: str, fix: str
) -> None:
    """Certificates near their end → a row of the doctor."""
    finding = sandbox_checks.valid(later(context, days))
    assert finding.status is status and finding.evidence.startswith(evidence) and finding.fix.startswith(fix)


@pytest.mark.fault(30)
@pytest.mark.usefixtures("default")
@pytest.mark.security(1)
def test_a_key_that_others_can_read_is_an_error(context: DoctorContext) -> None:
    """A key with mode 0644 → an error of the doctor."""
    (context.names.keys / "issuing.key").chmod(0o644)
    found = sandbox_checks.valid(context)
    assert found.status is Status.ERROR and "0644" in found.evidence


@pytest.mark.fault(31)
@pytest.mark.usefixtures("default")
def test_the_systems_store_is_asked(context: DoctorContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The root is in no store → a warning of the doctor."""
    found = sandbox_checks.trusted(context)
    assert found.status is Status.WARN and "unable to get local issuer certificate" in found.evidence
    monkeypatch.setenv("SSL_CERT_FILE", str(context.names.root_certificate))
    assert sandbox_checks.trusted(context).status is Status.OK


def test_a_container_that_has_stopped_is_an_error(context: DoctorContext, engine: FakeEngine) -> None:
    for name in (EDGE, context.names.registry, context.names.node):
        start(context, engine, name)
        engine.boxes[name].running = False
    checks = (sandbox_checks.edge, sandbox_checks.registry, sandbox_checks.node)
    assert {check(context).status for check in checks} == {Status.ERROR}
    said = f"{context.names.registry} does not run; why: docker logs {context.names.registry}"
    assert sandbox_checks.registry(context) == error(said), "`sandbox up` starts it"


def test_sandbox_of_another_user_is_named(context: DoctorContext, engine: FakeEngine) -> None:
    theirs = replace(context, home=replace(context.home, state=context.home.state.parent / "theirs"))
    for name in (context.names.node, context.names.registry):
        start(theirs, engine, name)
    for check in (one for one in sandbox_checks.CHECKS if one.id in ("wiring.node", "wiring.registry")):
        found = checked(check, context)
        assert found.status is Status.ERROR and "the name demo is taken by a sandbox of user" in found.evidence
        assert found.fix.startswith("give this sandbox another name")


def test_registry_of_another_sandbox_is_not_that_of_a_namespace(context: DoctorContext, registry: Simulator) -> None:
    cluster = Cluster.model_validate({"provider": "existing", "context": "a", "namespace": "b"})
    port = int(registry.url.rpartition(":")[2])
    other = context.spec.registry.model_copy(update={"port": port})
    spec = context.spec.model_copy(update={"cluster": cluster, "registry": other})
    found = sandbox_checks.registry(replace(context, spec=spec))
    assert found.status is Status.SKIPPED and "the edge does not serve its port" in found.evidence
    assert not registry.requests


def test_node_that_is_unready_or_not_configured_is_an_error(
    context: DoctorContext, engine: FakeEngine, server: ApiServer
) -> None:
    start(context, engine, context.names.node)
    start(context, engine, context.names.registry)
    engine.programs["sh"] = lambda box, argv: (0, "")
    assert sandbox_checks.node(context).evidence.startswith("not configured as in the spec: ")
    ready = {"type": "Ready", "status": "Unknown", "message": "Kubelet stopped posting node status."}
    node = {"kind": "Node", "metadata": {"name": context.names.node}, "status": {"conditions": [ready]}}
    server.objects[f"/api/v1/nodes/{context.names.node}"] = node
    assert sandbox_checks.node(context).evidence.endswith("is not ready: Kubelet stopped posting node status.")
    engine.programs["sh"] = lambda box, argv: (1, "")
    assert sandbox_checks.node(context) == error(f"the kubelet is stopped in {context.names.node}")


def test_stopped_or_missing_worker_is_an_error(context: DoctorContext, engine: FakeEngine) -> None:
    spec = context.spec.model_copy(update={"cluster": Cluster.model_validate({"nodes": 3})})
    saved_spec.save(context.names, spec)
    start(context, engine, context.names.registry)
    nodes = (context.names.node, f"{context.names.node.removesuffix('control-plane')}worker")
    for name, role in zip(nodes, ("control-plane", "worker"), strict=True):
        start(context, engine, name, role=role)
    engine.boxes[nodes[1]].running = False
    found = sandbox_checks.node(context)
    assert (found.status, found.evidence) == (Status.ERROR, f"not running: {nodes[1]}, {nodes[1]}2")


def test_the_edge_must_follow_its_routes(context: DoctorContext, engine: FakeEngine) -> None:
    start(context, engine, EDGE)
    assert sandbox_checks.edge(context).status is Status.SKIPPED
    routes.save(
        context.home.edge, Route("demo", "demo.test", context.names.node, (("127.0.0.1", 443),), 1.0, network=NETWORK)
    )
    assert "configuration" in sandbox_checks.edge(context).evidence
    EdgeContainer.of(engine, context.home).note_loaded()
    found = sandbox_checks.edge(context)
    assert (found.status, found.evidence) == (Status.OK, f"*.demo.test is routed to {context.names.node}:443")


@pytest.mark.fault(84)
def test_a_node_off_the_network_is_named_with_its_fix(context: DoctorContext, engine: FakeEngine) -> None:
    """The node is off the sandbox's network, or that is gone → the doctor names it, and `up` is the fix."""
    start(context, engine, context.names.node, role="control-plane")
    assert sandbox_checks.network(context).status is Status.OK
    engine.disconnect_network(NETWORK, context.names.node)
    found = sandbox_checks.network(context)
    assert (found.status, found.evidence) == (Status.ERROR, f"not on {NETWORK}: {context.names.node}")
    engine.remove_network(NETWORK)
    assert sandbox_checks.network(context).evidence == f"the network {NETWORK} does not exist"


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


ROLE = Path(__file__).parents[3] / "docs" / "existing.md"
SPACE = "/api/v1/namespaces/mine"


@pytest.fixture
def existing(context: DoctorContext, server: ApiServer) -> DoctorContext:
    """A sandbox in a namespace of a cluster that others created."""
    server.objects[SPACE] = {"kind": "Namespace", "metadata": {"name": "mine"}}
    kubeconfig(context.home.kubeconfig, server.server_port, context="team")
    cluster = {"provider": "existing", "context": "team", "namespace": "mine"}
    return replace(context, spec=ResolvedSpec.model_validate({"name": "demo", "cluster": cluster}))


def rights(context: DoctorContext) -> Row:
    return checked(sandbox_checks.RIGHTS, context)


def test_the_documented_role_is_enough_and_nothing_is_written(existing: DoctorContext, server: ApiServer) -> None:
    blocks = (yaml.safe_load(block.partition("```")[0]) for block in ROLE.read_text().split("```yaml\n")[1:])
    role = next(block for block in blocks if block.get("kind") == "Role")
    allowed = {(verb, resource) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    server.may = lambda verb, resource: (verb, resource) in allowed
    assert rights(existing).evidence == "you have the rights in mine"
    assert {path for method, path, *_ in server.asked if method != "GET"} == {REVIEWS}
    assert not list(existing.home.state.glob("*.kubeconfig"))


def test_missing_rights_are_named(existing: DoctorContext, server: ApiServer) -> None:
    missing = {("create", "pods/portforward"), ("patch", "roles"), ("delete", "roles")}
    server.may = lambda verb, resource: (verb, resource) not in missing
    missing_rights = "patch roles, delete roles, create pods/portforward"
    assert (rights(existing).status, rights(existing).evidence) == (
        Status.ERROR,
        f"in mine you may not: {missing_rights}",
    )


@pytest.mark.parametrize(
    ("may", "status", "evidence"),
    [(True, Status.OK, "does not exist, and you may create it"), (False, Status.ERROR, "you may not create it")],
)
def test_namespace_that_does_not_exist_is_reported(
    existing: DoctorContext, server: ApiServer, may: bool, status: Status, evidence: str
) -> None:
    del server.objects[SPACE]
    server.may = lambda verb, resource: may or (verb, resource) != ("create", "namespaces")
    assert (rights(existing).status, evidence in rights(existing).evidence) == (status, True)
