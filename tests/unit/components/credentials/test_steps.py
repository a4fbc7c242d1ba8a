"""The steps of `up`: the proof that logins are available, and their delivery; the process that renews them."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sandbox.components.cluster.kind import provider as kind_provider
from sandbox.components.credentials import renewal_daemon
from sandbox.components.credentials.login_delivery import FILE, PodLogin
from sandbox.components.credentials.pod_credentials import PodCredentials
from sandbox.components.credentials.registry_login import Login
from sandbox.components.credentials.steps import AccountsStep, CredentialsStep
from sandbox.config.schema.credentials_schema import Credentials, Docker, Gcr
from sandbox.errors import SandboxError
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
    requested = made.credentials.requested(docker, "command", now=datetime.now(UTC))
    made.credentials.keep({login.secret: login for login in requested})
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


@pytest.fixture
def entry(services: Services, write: Write) -> Gcr:
    return Gcr(kind="gcr", namespaces=("shop",), file=write(services.google.key_file(services.url)))


KUBECONFIG = Path("/dev/null")  # the process ends when it is gone


class Pauses(threading.Event):
    """Ends the process after its last moment, and notes for how many seconds it would have waited before."""

    def __init__(self, *moments: datetime) -> None:
        super().__init__()
        self.moments = list(moments)
        self.seconds: list[float] = []

    def now(self) -> datetime:
        return self.moments.pop(0)

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout or 0)
        return not self.moments


def run(pods: PodCredentials, *moments: datetime) -> list[float]:
    """The process at these moments, and its pauses."""
    pauses = Pauses(*moments)
    renewal_daemon.run(KUBECONFIG, lambda: pods, pauses, pauses.now)
    return pauses.seconds


def give(pods: PodCredentials, entry: Credentials, now: datetime) -> datetime:
    """Deliver the login; return when it is due for renewal."""
    pods.deliver(pods.requested(entry, "spec", now=now))
    return now + timedelta(minutes=45)


def issued(pods: PodCredentials) -> datetime:
    return pods.logins()["gcr-secret"].issued


def test_token_is_renewed_when_due_and_not_before(pods: PodCredentials, entry: Gcr) -> None:
    now = datetime.now(UTC)
    late = give(pods, entry, now)
    run(pods, now + timedelta(minutes=1))
    assert issued(pods) == now
    assert run(pods, now, late) == [30, 30]
    assert issued(pods) == late
    assert pods.pending() is None


def test_failed_renewals_are_logged_and_tried_again(
    pods: PodCredentials, entry: Gcr, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    late = give(pods, entry, datetime.now(UTC))
    services.google.refusals = 2
    assert run(pods, late, late, late) == [300, 300, 30]
    assert issued(pods) == late
    assert "gcr-secret: Google gives no token" in caplog.text


def test_process_survives_a_cluster_that_fails(
    pods: PodCredentials, entry: Gcr, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    late = give(pods, entry, datetime.now(UTC))
    errors, deliver = [SandboxError("the cluster is away")], PodCredentials.deliver

    def failing(self: PodCredentials, fresh: Mapping[PodLogin, Login], *, at_once: bool) -> None:
        if errors:
            raise errors.pop()
        deliver(self, fresh, at_once=at_once)

    monkeypatch.setattr(PodCredentials, "deliver", failing)
    assert run(pods, late, late) == [300, 30]
    assert "the cluster is away" in caplog.text
    assert issued(pods) == late


def test_renewal_ends_with_cluster_or_when_nothing_expires(pods: PodCredentials, write: Write, names: Names) -> None:
    file = write(docker_config("canary"), "config.json")
    give(pods, Docker(kind="docker", file=file), datetime.now(UTC))
    endless = threading.Event()
    renewal_daemon.run(names.kubeconfig, lambda: pods, endless)
    names.kubeconfig.unlink()
    renewal_daemon.run(names.kubeconfig, lambda: pods, endless)
    assert not endless.is_set()


def test_failed_renewal_does_not_delay_the_others(pods: PodCredentials, entry: Gcr, write: Write) -> None:
    then = datetime.now(UTC) - timedelta(minutes=50)
    give(pods, entry, then)
    file = write(docker_config("canary"), "config.json")
    give(pods, Docker(kind="docker", secret="lost", file=file), then)
    file.unlink()
    failed = pods.renew(list(pods.logins().values()), now=datetime.now(UTC), at_once=False)
    assert failed.keys() == {"lost"}
    assert issued(pods) > then
    removed = list(pods.logins().values())
    pods.forget(["gcr-secret", "lost"])
    pods.renew(removed, now=datetime.now(UTC), at_once=False)
    assert pods.logins() == {}
