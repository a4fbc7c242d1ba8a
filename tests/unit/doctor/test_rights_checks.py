"""What we may do in an existing cluster, one row for each part that needs it; nothing is changed to find out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from sandbox.config.schema import ResolvedSpec
from sandbox.doctor import rights_checks
from sandbox.doctor.check import DoctorContext, Row, Status, checked
from tests.support.api_server import REVIEWS, ApiServer, kubeconfig, serving

ROLE = Path(__file__).parents[3] / "docs" / "existing.md"
SPACE = "/api/v1/namespaces/mine"


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with serving() as server:
        server.objects[SPACE] = {"kind": "Namespace", "metadata": {"name": "mine"}}
        yield server


@pytest.fixture
def context(context: DoctorContext, server: ApiServer) -> DoctorContext:
    kubeconfig(context.home.kubeconfig, server.server_port, context="team")
    cluster = {"provider": "existing", "context": "team", "namespace": "mine"}
    return replace(context, spec=ResolvedSpec.model_validate({"name": "demo", "cluster": cluster}))


def row(context: DoctorContext) -> Row:
    return checked(rights_checks.RIGHTS, context)


def test_the_documented_role_is_enough_and_nothing_is_written(context: DoctorContext, server: ApiServer) -> None:
    blocks = (yaml.safe_load(block.partition("```")[0]) for block in ROLE.read_text().split("```yaml\n")[1:])
    role = next(block for block in blocks if block.get("kind") == "Role")
    allowed = {(verb, resource) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    server.may = lambda verb, resource: (verb, resource) in allowed
    assert row(context).evidence == "you have the rights in mine"
    assert {path for method, path, *_ in server.asked if method != "GET"} == {REVIEWS}
    assert not list(context.home.state.glob("*.kubeconfig"))


def test_missing_rights_are_named(context: DoctorContext, server: ApiServer) -> None:
    missing = {("create", "pods/portforward"), ("patch", "roles"), ("delete", "roles")}
    server.may = lambda verb, resource: (verb, resource) not in missing
    rights = "patch roles, delete roles, create pods/portforward"
    assert (row(context).status, row(context).evidence) == (Status.ERROR, f"in mine you may not: {rights}")


@pytest.mark.parametrize(
    ("may", "status", "evidence"),
    [(True, Status.OK, "does not exist, and you may create it"), (False, Status.ERROR, "you may not create it")],
)
def test_namespace_that_does_not_exist_is_reported(
    context: DoctorContext, server: ApiServer, may: bool, status: Status, evidence: str
) -> None:
    del server.objects[SPACE]
    server.may = lambda verb, resource: may or (verb, resource) != ("create", "namespaces")
    assert (row(context).status, evidence in row(context).evidence) == (status, True)
