"""What we may do in an existing cluster, one row for each part that needs it; nothing is changed to find out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from sandbox.config.schema import ResolvedSpec
from sandbox.doctor import rights_checks
from sandbox.doctor.check import Row, Status, run
from sandbox.doctor.doctor_context import DoctorContext
from tests.support.api_server import REVIEWS, ApiServer, kubeconfig, serving
from tests.support.programs import make_program

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


def rows(context: DoctorContext) -> dict[str, Row]:
    return {one.id: one for one in run(rights_checks.CHECKS, context, seconds=30)}


def test_user_with_all_rights_lacks_none_and_nothing_is_written(context: DoctorContext, server: ApiServer) -> None:
    found = rows(context)
    assert {one.status for one in found.values()} == {Status.OK}
    assert found["rights.namespace"].evidence == "mine exists"
    assert {method for method, *_ in server.asked} == {"GET", "POST"}, "POST asks for reviews only"
    assert {path for method, path, *_ in server.asked if method == "POST"} == {REVIEWS}
    assert not list(context.home.state.glob("*.kubeconfig"))


def test_login_by_a_program_is_renewed_while_the_rows_are_made(
    context: DoctorContext, server: ApiServer, tmp_path: Path
) -> None:
    """A program whose tokens expire at once → it runs again, in a folder that is still there."""
    expires = {"expirationTimestamp": "2020-01-01T00:00:00Z", "token": "secret"}
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": expires}
    login = make_program(tmp_path / "login", f"pwd >>{tmp_path}/ran\necho '{json.dumps(answer)}'")
    content = yaml.safe_load(context.home.kubeconfig.read_text())
    content["users"][0]["user"] = {"exec": {"apiVersion": answer["apiVersion"], "command": str(login)}}
    context.home.kubeconfig.write_text(yaml.safe_dump(content))
    assert {one.status for one in rows(context).values()} == {Status.OK}
    assert len((tmp_path / "ran").read_text().splitlines()) > 3


def test_missing_rights_are_named(context: DoctorContext, server: ApiServer) -> None:
    server.may = lambda verb, resource: resource == "configmaps"
    assert rows(context)["rights.objects"].evidence.endswith("secrets: get, list, create, patch, delete")


def test_the_documented_role_is_enough(context: DoctorContext, server: ApiServer) -> None:
    blocks = (yaml.safe_load(block.partition("```")[0]) for block in ROLE.read_text().split("```yaml\n")[1:])
    role = next(one for one in blocks if one.get("kind") == "Role")
    allowed = {(verb, resource) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    server.may = lambda verb, resource: (verb, resource) in allowed
    found = rows(context)
    assert {one.status for one in found.values()} == {Status.OK}
    assert found["rights.namespace"].evidence == "you may not read mine; `up` finds out whether it exists"


def test_missing_rights_are_named_by_the_part_needing_them(context: DoctorContext, server: ApiServer) -> None:
    missing = {("create", "pods/portforward"), ("patch", "roles"), ("delete", "roles"), ("watch", "secrets")}
    server.may = lambda verb, resource: (verb, resource) not in missing
    found = rows(context)
    assert {id for id, one in found.items() if one.status is not Status.OK} == {"rights.tunnel", "rights.ingress"}
    assert found["rights.tunnel"].evidence == "you may not: pods/portforward: create"
    assert found["rights.ingress"].evidence == "you may not: roles: patch, delete; secrets: watch"
    assert "ingress.controller to none" in found["rights.ingress"].fix


def test_without_disks_it_works_and_what_that_costs_is_said(context: DoctorContext, server: ApiServer) -> None:
    server.may = lambda verb, resource: resource != "persistentvolumeclaims"
    found = rows(context)["rights.disk"]
    assert found.status is Status.WARN
    assert "the registry's data is lost with its pod" in found.evidence


@pytest.mark.parametrize(
    ("may", "status", "said"),
    [(True, Status.OK, "does not exist, and you may create it"), (False, Status.ERROR, "you may not create it")],
)
def test_a_namespace_that_is_not_there(
    context: DoctorContext, server: ApiServer, may: bool, status: Status, said: str
) -> None:
    del server.objects[SPACE]
    server.may = lambda verb, resource: may or (verb, resource) != ("create", "namespaces")
    found = rows(context)["rights.namespace"]
    assert (found.status, said in found.evidence) == (status, True)


def test_a_context_that_is_not_there_is_an_error_of_every_row(context: DoctorContext) -> None:
    context.home.kubeconfig.write_text("contexts: []\n")
    found = rows(context)
    assert {one.status for one in found.values()} == {Status.ERROR}
    assert "there is no context 'team'" in found["rights.cluster"].evidence


def test_unreachable_cluster_is_reported_with_the_reason(context: DoctorContext) -> None:
    content = yaml.safe_load(context.home.kubeconfig.read_text())
    content["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:9"
    context.home.kubeconfig.write_text(yaml.safe_dump(content))
    found = rows(context)
    reached = found.pop("rights.cluster")
    assert reached.status is Status.ERROR and "does not answer" in reached.evidence
    assert {one.status for one in found.values()} == {Status.SKIPPED}, "nothing is known of rights"
