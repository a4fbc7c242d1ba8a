"""The steps of `up`: the proof that logins are available, and their delivery, which repairs what is wrong."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sandbox.components.cluster.kind import provider as kind_provider
from sandbox.components.credentials.login_delivery import FILE
from sandbox.components.credentials.pod_credentials import PodCredentials
from sandbox.components.credentials.steps import AccountsStep, CredentialsStep
from sandbox.config.schema.credentials_schema import Credentials, Docker, Gcr
from sandbox.names import Names
from sandbox.step import State
from sandbox.system import daemon
from tests.support.api_server import ApiServer
from tests.support.fakes import FakeEngine, NoWork, applied
from tests.support.token_services import Services
from tests.unit.components.credentials.conftest import Write, docker_config, refusal

SHOP = "/api/v1/namespaces/shop/secrets/"

pytestmark = pytest.mark.usefixtures("server")


@pytest.fixture
def docker(write: Write) -> Docker:
    return Docker(kind="docker", file=write(docker_config("canary-one"), "config.json"))


@pytest.fixture
def shop_only(docker: Docker) -> Docker:
    return docker.model_copy(update={"namespaces": ("shop",), "secret": "shop-login"})


def step(node: FakeEngine, names: Names, *entries: Credentials) -> CredentialsStep:
    running = kind_provider.nodes(node, names).running
    return CredentialsStep(PodCredentials(node, running, names.kubeconfig, names.credentials, os.environ), entries)


def on_node(node: FakeEngine, names: Names) -> list[str]:
    """The passwords in the kubelet's file."""
    data = node.boxes[names.node].files.get(FILE, b'{"auths": {}}')
    return [account["password"] for account in json.loads(data)["auths"].values()]


def test_accounts_of_the_spec_are_delivered_once(
    node: FakeEngine, names: Names, server: ApiServer, docker: Docker, shop_only: Docker
) -> None:
    made = step(node, names, docker, shop_only)
    assert made.check().state is State.ABSENT
    made.apply(NoWork())
    assert (made.check().state, made.check().detail) == (State.READY, "dpr-secret, shop-login")
    assert on_node(node, names) == ["canary-one"]
    assert f"{SHOP}shop-login" in server.objects
    assert stat.S_IMODE(names.credentials.stat().st_mode) == 0o700
    assert stat.S_IMODE((names.credentials / "logins.json").stat().st_mode) == 0o600
    more = step(node, names, docker, shop_only, docker.model_copy(update={"secret": "another"}))
    assert (more.check().state, more.check().detail) == (State.DRIFTED, "another"), "else all are rolled back"


def test_account_no_longer_in_the_spec_is_removed(node: FakeEngine, names: Names, docker: Docker) -> None:
    step(node, names, docker).apply(NoWork())
    without = step(node, names)
    assert "dpr-secret is no longer in the spec" in without.check().detail
    without.apply(NoWork())
    assert on_node(node, names) == []
    assert without.check().state is State.READY
    assert not names.credentials.exists()


@pytest.mark.parametrize("adopted", [True, False])
def test_accounts_leave_a_cluster_that_stays(
    node: FakeEngine, names: Names, server: ApiServer, docker: Docker, shop_only: Docker, *, adopted: bool
) -> None:
    made = replace(step(node, names, docker, shop_only), adopted=adopted)
    made.apply(NoWork())
    assert made.undo()
    assert not names.credentials.exists()
    assert bool(on_node(node, names)) is not adopted
    assert (f"{SHOP}shop-login" in server.objects) is not adopted
    assert not made.undo()


def test_accounts_stay_where_the_cluster_does_not_answer(node: FakeEngine, names: Names, docker: Docker) -> None:
    names.credentials.mkdir(parents=True)
    names.kubeconfig.unlink(missing_ok=True)
    assert replace(step(node, names, docker), adopted=True).undo()


def test_account_added_by_a_command_survives_a_new_cluster(node: FakeEngine, names: Names, docker: Docker) -> None:
    made = step(node, names)
    made.credentials.logins.keep(made.credentials.requested(docker, "command", now=datetime.now(UTC)).keys())
    assert made.check().state is State.DRIFTED
    assert applied(made).state is State.READY
    assert on_node(node, names) == ["canary-one"]


def test_changed_file_or_entry_is_delivered_again(
    node: FakeEngine, names: Names, server: ApiServer, docker: Docker, write: Write
) -> None:
    made = step(node, names, docker)
    made.apply(NoWork())
    write(docker_config("canary-second"), "config.json")
    assert "is from before" in made.check().detail
    made.apply(NoWork())
    assert (made.check().state, on_node(node, names)) == (State.READY, ["canary-second"])
    narrower = step(node, names, docker.model_copy(update={"namespaces": ("shop",)}))
    assert narrower.check().state is State.DRIFTED
    narrower.apply(NoWork())
    assert on_node(node, names) == []
    assert f"{SHOP}dpr-secret" in server.objects


def test_tokens_are_renewed_by_a_process_that_ends_at_down(
    node: FakeEngine, names: Names, services: Services, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(write(services.google.key_file(services.url))))
    made = step(node, names, Gcr(kind="gcr"))
    assert applied(made).detail.startswith("gcr-secret until ")
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


def test_refused_accounts_are_reported_before_the_cluster(names: Names, services: Services, write: Write) -> None:
    entry = Gcr(kind="gcr", file=write(services.google.key_file(services.url)))
    proof = AccountsStep(names, (entry,), os.environ)
    assert proof.check().state is State.READY
    proof.apply(NoWork())
    services.google.refusals = 9
    assert (proof.check().state, proof.check().detail) == (State.ABSENT, "Google gives no token")
    assert refusal(lambda: proof.apply(NoWork())).brief == "Google gives no token"
    assert not proof.undo()
    names.credentials.mkdir(parents=True)  # the cluster has them, which is proof enough
    assert proof.check().state is State.READY


def test_list_that_cannot_be_read_is_named(node: FakeEngine, names: Names) -> None:
    names.credentials.mkdir(parents=True)
    (names.credentials / "logins.json").write_text("[[")
    assert refusal(step(node, names).check).id == "credentials-list"
