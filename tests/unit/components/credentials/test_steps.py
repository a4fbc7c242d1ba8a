"""The steps of `up`: the proof that logins are available, and their delivery, which repairs what is wrong."""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import cast

import pytest

from sandbox.components.cluster.kind import provider as kind_provider
from sandbox.components.credentials.pod_credentials import PodCredentials
from sandbox.components.credentials.pull_secrets import PullSecrets
from sandbox.components.credentials.registry_accounts import mint
from sandbox.components.credentials.steps import AccountsStep, CredentialsStep
from sandbox.config.schema.credentials_schema import Credentials, Docker, Gcr
from sandbox.errors import SandboxError
from sandbox.names import SYSTEM_NAMESPACE, Names
from sandbox.step import State
from sandbox.system import daemon
from tests.support.api_server import ApiServer
from tests.support.fakes import FakeEngine, NoWork
from tests.support.token_services import Services
from tests.unit.components.credentials.conftest import Systemd, refusal

Write = Callable[..., Path]
COPIED = {"sandbox.dev/credentials": "copy"}
SHOP = "/api/v1/namespaces/shop/secrets/"


@pytest.fixture
def docker(write: Write) -> Docker:
    return Docker(kind="docker", file=write(config("canary-one"), "config.json"))


def config(password: str) -> str:
    return json.dumps({"auths": {"quay.io": {"username": "me", "password": password}}})


def step(node: FakeEngine, names: Names, *entries: Credentials) -> CredentialsStep:
    return CredentialsStep(PodCredentials(kind_provider.nodes(node, names), names, os.environ), entries)


def test_accounts_of_the_spec_are_delivered_once(
    node: FakeEngine, names: Names, server: ApiServer, docker: Docker
) -> None:
    made = step(node, names, docker)
    assert (made.check().state, made.check().detail) == (State.ABSENT, "dpr-secret")
    made.apply(NoWork())
    assert (made.check().state, made.check().detail) == (State.READY, "dpr-secret")
    assert f"{SHOP}dpr-secret" in server.objects
    script = node.read_file(names.node, PurePosixPath("/etc/sandbox/credentials.sh"))
    assert script is not None
    assert b"canary" not in script
    assert stat.S_IMODE(names.credentials.stat().st_mode) == 0o700


def test_account_no_longer_in_the_spec_is_removed(
    node: FakeEngine, names: Names, server: ApiServer, docker: Docker
) -> None:
    step(node, names, docker).apply(NoWork())
    without = step(node, names)
    assert "dpr-secret is no longer in the spec" in without.check().detail
    without.apply(NoWork())
    assert f"{SHOP}dpr-secret" not in server.objects
    assert without.check().state is State.READY
    assert not names.credentials.exists()


def test_account_that_fails_leaves_those_that_there_are(
    node: FakeEngine, names: Names, server: ApiServer, docker: Docker
) -> None:
    step(node, names, docker).apply(NoWork())
    more = step(node, names, docker, docker.model_copy(update={"secret": "another"}))
    assert (more.check().state, more.check().detail) == (State.DRIFTED, "another"), "else it is all rolled back"


def test_accounts_are_rolled_back_in_a_cluster_that_stays(
    node: FakeEngine, names: Names, server: ApiServer, docker: Docker
) -> None:
    made = step(node, names, docker)
    made.apply(NoWork())
    assert made.revoke()
    assert not names.credentials.exists()
    assert [path for path in server.objects if "dpr-secret" in path] == []


@pytest.mark.parametrize("adopted", [True, False])
def test_accounts_leave_a_cluster_that_stays(
    node: FakeEngine, names: Names, server: ApiServer, docker: Docker, *, adopted: bool
) -> None:
    made = replace(step(node, names, docker), adopted=adopted)
    made.apply(NoWork())
    assert made.undo()
    assert not names.credentials.exists()
    left = [path for path in server.objects if "dpr-secret" in path]
    assert bool(left) is not adopted
    assert not made.undo()


def test_accounts_stay_where_the_cluster_does_not_answer(node: FakeEngine, names: Names, docker: Docker) -> None:
    names.credentials.mkdir(parents=True)
    names.kubeconfig.unlink(missing_ok=True)
    assert replace(step(node, names, docker), adopted=True).undo()


def test_account_added_by_a_command_stays(node: FakeEngine, names: Names, server: ApiServer, docker: Docker) -> None:
    PullSecrets.of(names).keep(docker, mint(docker, {}, now=datetime.now(UTC)), "command")
    made = step(node, names)
    made.apply(NoWork())
    assert made.check().state is State.READY
    assert f"{SHOP}dpr-secret" in server.objects


def test_a_file_that_was_changed_is_read_again(
    node: FakeEngine, names: Names, server: ApiServer, docker: Docker, write: Write
) -> None:
    made = step(node, names, docker)
    made.apply(NoWork())
    before = server.objects[f"{SHOP}dpr-secret"]["data"]
    write(config("canary-second"), "config.json")
    assert "is from before" in made.check().detail
    made.apply(NoWork())
    assert server.objects[f"{SHOP}dpr-secret"]["data"] != before
    assert made.check().state is State.READY


def test_entry_of_the_same_name_replaces_the_old(
    node: FakeEngine, names: Names, server: ApiServer, docker: Docker
) -> None:
    step(node, names, docker).apply(NoWork())
    narrower = step(node, names, docker.model_copy(update={"namespaces": ("default",)}))
    assert narrower.check().state is State.DRIFTED
    narrower.apply(NoWork())
    assert f"{SHOP}dpr-secret" not in server.objects


def test_a_copy_that_is_gone_is_made_again(node: FakeEngine, names: Names, server: ApiServer, docker: Docker) -> None:
    made = step(node, names, docker)
    made.apply(NoWork())
    copy = server.objects.pop(f"{SHOP}dpr-secret")
    assert made.check().detail == "shop has not the present Secret dpr-secret"
    made.apply(NoWork())
    assert server.objects[f"{SHOP}dpr-secret"] == copy


def test_missing_renewal_is_started(node: FakeEngine, names: Names, docker: Docker) -> None:
    made, systemd = step(node, names, docker), cast("Systemd", node.programs["systemctl"])
    made.apply(NoWork())
    systemd.running = False
    assert made.check().detail == f"sandbox-credentials.service does not run on {names.node}"
    systemd.broken = True
    with pytest.raises(SandboxError, match=r"sandbox-credentials\.service cannot be started"):
        made.apply(NoWork())
    systemd.broken = False
    del node.boxes[names.node].files[PurePosixPath("/etc/sandbox/credentials.sh")]
    assert "/etc/sandbox/credentials.sh" in made.check().detail
    made.apply(NoWork())
    assert made.check().state is State.READY


def test_tokens_are_renewed_by_a_process_that_ends_at_down(
    node: FakeEngine, names: Names, services: Services, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(write(services.google.key_file(services.url))))
    made = step(node, names, Gcr(kind="gcr"))
    made.apply(NoWork())
    assert made.check().detail.startswith("gcr-secret until ")
    record = names.credentials / "keeper.json"
    first = daemon.find(record)
    assert first is not None
    daemon.end(record)
    assert "no process renews them" in made.check().detail
    made.apply(NoWork())
    second = daemon.find(record)
    assert second is not None
    assert made.undo()
    assert not second.running
    assert not made.undo()
    assert not names.credentials.exists()


def test_expired_token_is_renewed(node: FakeEngine, names: Names, services: Services, write: Write) -> None:
    entry = Gcr(kind="gcr", file=write(services.google.key_file(services.url)))
    made = step(node, names, entry)
    made.apply(NoWork())
    daemon.end(names.credentials / "keeper.json")
    delivery = PullSecrets.of(names)
    delivery.keep(entry, mint(entry, os.environ, now=datetime.now(UTC) - timedelta(minutes=59)), "spec")
    delivery.spread()
    assert made.check().detail.startswith("gcr-secret ends at ")
    made.apply(NoWork())
    assert made.check().state is State.READY


def test_unavailable_accounts_are_reported_before_the_cluster(names: Names, services: Services, write: Write) -> None:
    entry = Gcr(kind="gcr", file=write(services.google.key_file(services.url)))
    proof = AccountsStep(names, (entry,), os.environ)
    assert proof.check().state is State.READY
    services.failures = 6
    assert (proof.check().state, proof.check().detail) == (State.ABSENT, "Google's token service fails")
    services.failures = 3
    assert refusal(lambda: proof.apply(NoWork())).brief == "Google's token service fails"
    proof.apply(NoWork())
    assert not proof.undo()


def test_a_cluster_that_has_them_is_proof_enough(names: Names, services: Services) -> None:
    names.credentials.mkdir(parents=True)
    assert AccountsStep(names, (Gcr(kind="gcr", file=Path("/no")),), os.environ).check().state is State.READY
    assert services.requests == 0


def test_the_system_namespace_keeps_them_and_has_no_copy(
    node: FakeEngine, names: Names, server: ApiServer, docker: Docker
) -> None:
    entry = docker.model_copy(update={"namespaces": (SYSTEM_NAMESPACE, "shop")})
    step(node, names, entry).apply(NoWork())
    kept = server.objects[f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets/dpr-secret"]
    assert kept["metadata"]["labels"] == {"sandbox.dev/credentials": "kept"}
    assert f"{SHOP}dpr-secret" in server.objects


@pytest.mark.security(20)
def test_no_account_is_requested_for_a_planted_secret(
    node: FakeEngine, names: Names, server: ApiServer, docker: Docker, write: Write
) -> None:
    """A pod plants a kept Secret that names a file of the host → `up` reads no such file and says it is ignored."""
    stolen = Docker(kind="docker", file=write(config("canary-stolen"), "other.json"), secret="planted")
    made = step(node, names, docker)
    made.apply(NoWork())
    kept = server.objects[f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets/dpr-secret"]
    notes = {**kept["metadata"]["annotations"], "sandbox.dev/entry": stolen.model_dump_json()}
    notes |= {"sandbox.dev/origin": "command", "sandbox.dev/namespaces": "*", "sandbox.dev/file": "changed"}
    planted = {**kept, "metadata": {**kept["metadata"], "name": "planted", "annotations": notes}}
    server.objects[f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets/planted"] = planted
    made.apply(NoWork())
    assert made.check().state is State.READY
    assert made.check().detail == "dpr-secret, ignored: planted, which no command of this user gave"
    assert f"{SHOP}planted" not in server.objects
    stolen_data = base64.b64encode(b"canary-stolen")
    assert stolen_data not in json.dumps(server.objects).encode()


def test_a_cluster_of_an_earlier_release_is_taken_over(
    node: FakeEngine, names: Names, server: ApiServer, docker: Docker
) -> None:
    made = step(node, names, docker)
    made.apply(NoWork())
    kept = server.objects[f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets/dpr-secret"]
    kept["metadata"]["annotations"]["sandbox.dev/entry"] = docker.model_dump_json()
    (names.credentials / "entries.json").unlink()
    added = {**kept, "metadata": {**kept["metadata"], "name": "added"}}
    server.objects[f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets/added"] = added
    server.objects[f"{SHOP}added"] = {"metadata": {"name": "added", "namespace": "shop", "labels": COPIED}}
    assert made.check().state is State.DRIFTED
    made.apply(NoWork())
    assert made.check().detail == "dpr-secret, ignored: added, which no command of this user gave"
    assert f"{SHOP}added" not in server.objects and f"{SHOP}dpr-secret" in server.objects


def test_account_added_by_a_command_survives_a_new_cluster(
    node: FakeEngine, names: Names, server: ApiServer, docker: Docker
) -> None:
    PullSecrets.of(names).keep(docker, mint(docker, {}, now=datetime.now(UTC)), "command")
    del server.objects[f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets/dpr-secret"]
    made = step(node, names)
    assert (made.check().state, made.check().detail) == (State.DRIFTED, "dpr-secret")
    made.apply(NoWork())
    assert f"{SHOP}dpr-secret" in server.objects


def test_a_list_that_cannot_be_read_is_named(node: FakeEngine, names: Names, server: ApiServer) -> None:
    names.credentials.mkdir(parents=True)
    (names.credentials / "entries.json").write_text("[[")
    assert refusal(step(node, names).check).id == "credentials-list"


def test_the_unit_goes_with_the_last_entry(node: FakeEngine, names: Names, server: ApiServer, docker: Docker) -> None:
    before = set(server.objects)
    step(node, names, docker).apply(NoWork())
    assert stat.S_IMODE((names.credentials / "entries.json").stat().st_mode) == 0o600
    assert "/apis/rbac.authorization.k8s.io/v1/clusterroles/sandbox-credentials" in server.objects
    step(node, names).apply(NoWork())
    assert set(server.objects) == {*before, f"/api/v1/namespaces/{SYSTEM_NAMESPACE}"}
    assert not [path for path in node.boxes[names.node].files if "credentials" in path.name]
