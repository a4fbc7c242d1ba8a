"""The process that renews logins, and the renewal itself."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sandbox.components.credentials import renewal_daemon
from sandbox.components.credentials.delivery import Delivery, requested
from sandbox.components.credentials.node_logins import NodeLogins
from sandbox.components.credentials.pod_credentials import RENEWAL
from sandbox.components.credentials.pod_logins import PodLogins
from sandbox.components.credentials.pull_secrets import PullSecrets
from sandbox.components.credentials.renewal_daemon import Time
from sandbox.config.schema.credentials_schema import Credentials, Docker, Gcr
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster
from sandbox.names import Names
from sandbox.system import daemon
from sandbox.system.wait import wait_until
from tests.support.api_server import ApiServer
from tests.support.fakes import FakeEngine
from tests.support.token_services import Services

Write = Callable[..., Path]


@pytest.fixture
def entry(services: Services, write: Write) -> Gcr:
    return Gcr(kind="gcr", namespaces=("shop",), file=write(services.google.key_file(services.url)))


@pytest.fixture
def delivery(names: Names, server: ApiServer, node: FakeEngine) -> Delivery:
    secrets = PullSecrets(Cluster(names.kubeconfig))
    return Delivery(PodLogins(names.credentials / "logins.json"), NodeLogins(node, (names.node,)), secrets)


class Clock:
    """A clock that ends the process when it is asked once more than it has times."""

    def __init__(self, stopping: threading.Event, *times: Time) -> None:
        self.times, self.stopping = list(times), stopping

    def __call__(self) -> Time:
        if len(self.times) == 1:
            self.stopping.set()
        return self.times.pop(0)


KUBECONFIG = Path("/dev/null")  # the process ends when it is gone


def run(delivery: Delivery, monkeypatch: pytest.MonkeyPatch, *times: datetime | Time) -> None:
    """The process at these times; where only the time of day is given, no clock was set."""
    monkeypatch.setattr(renewal_daemon, "CHECK_EVERY", 0.0)
    stopping = threading.Event()
    moments = [one if isinstance(one, Time) else Time(one, one.timestamp()) for one in times]
    clock = Clock(stopping, moments[0], *moments)
    renewal_daemon.run(KUBECONFIG, lambda: delivery, os.environ, stopping, clock)


def give(delivery: Delivery, entry: Credentials, now: datetime) -> None:
    delivery.deliver(requested(entry, "spec", {}, now=now))


def issued(delivery: Delivery) -> datetime:
    return delivery.logins.read()["gcr-secret"].validity.issued


def test_token_is_renewed_when_due_and_not_before(
    delivery: Delivery, entry: Gcr, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    give(delivery, entry, now)
    run(delivery, monkeypatch, now + timedelta(minutes=1))
    assert issued(delivery) == now
    late = now + timedelta(minutes=45)
    run(delivery, monkeypatch, now, now + timedelta(minutes=1), late)
    assert issued(delivery) == late
    assert delivery.pending() is None


def test_failed_renewal_is_logged_and_tried_again(
    delivery: Delivery,
    entry: Gcr,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = datetime.now(UTC)
    give(delivery, entry, now)
    late = now + timedelta(minutes=45)
    services.google.refusals = 1
    run(delivery, monkeypatch, late, late + timedelta(seconds=30), late + timedelta(seconds=61))
    assert issued(delivery) == late + timedelta(seconds=61)
    assert "gcr-secret: Google gives no token" in caplog.text


def test_process_survives_a_cluster_that_fails(
    delivery: Delivery, entry: Gcr, server: ApiServer, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    give(delivery, entry, now)
    late = now + timedelta(minutes=45)
    answers = iter([False, True])
    deliver = Delivery.deliver

    def failing(self: Delivery, *args: object, **options: object) -> None:
        if not next(answers, True):
            raise SandboxError("the cluster is away")
        deliver(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Delivery, "deliver", failing)
    run(delivery, monkeypatch, late, late + timedelta(seconds=61))
    assert issued(delivery) == late + timedelta(seconds=61)


def test_renewal_ends_with_cluster_or_when_nothing_expires(delivery: Delivery, write: Write, names: Names) -> None:
    file = write('{"auths": {"quay.io": {"auth": "bWU6Y2FuYXJ5"}}}', "config.json")
    give(delivery, Docker(kind="docker", file=file), datetime.now(UTC))
    endless = threading.Event()
    renewal_daemon.run(names.kubeconfig, lambda: delivery, {}, endless, Time.now)
    names.kubeconfig.unlink()
    renewal_daemon.run(names.kubeconfig, lambda: delivery, {}, endless, Time.now)
    assert not endless.is_set()


def test_failed_renewal_does_not_delay_the_others(delivery: Delivery, entry: Gcr, write: Write) -> None:
    then = datetime.now(UTC) - timedelta(minutes=50)
    give(delivery, entry, then)
    file = write('{"auths": {"quay.io": {"auth": "bWU6Y2FuYXJ5"}}}', "config.json")
    give(delivery, Docker(kind="docker", secret="lost", file=file), then)
    file.unlink()
    renewed = delivery.renew(list(delivery.logins.read().values()), {}, now=datetime.now(UTC), at_once=False)
    assert renewed.done == ("gcr-secret",)
    assert renewed.failed.keys() == {"lost"}
    assert issued(delivery) > then


def test_removed_login_is_not_put_back(delivery: Delivery, entry: Gcr) -> None:
    now = datetime.now(UTC)
    give(delivery, entry, now)
    (login,) = delivery.logins.read().values()
    delivery.forget(["gcr-secret"])
    delivery.renew([login], {}, now=now, at_once=False)
    assert delivery.logins.read() == {}


def test_process_ends_without_a_cluster(names: Names, tmp_path: Path) -> None:
    log, record = tmp_path / "log", tmp_path / "record"
    places = (str(names.kubeconfig), str(names.credentials / "logins.json"), names.node)
    daemon.start((sys.executable, "-P", "-m", RENEWAL, *places), log_to=log, record=record)
    wait_until(lambda: "it runs" if daemon.find(record) else None, what="its end", timeout=60)
    assert log.read_text() == ""


def test_clock_set_back_does_not_delay_a_renewal(
    delivery: Delivery, entry: Gcr, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of day is set back by days while the process runs → the token is renewed when its time has passed."""
    now = datetime.now(UTC)
    give(delivery, entry, now)
    seconds = now.timestamp()
    set_back = now - timedelta(days=3)
    run(
        delivery,
        monkeypatch,
        Time(now, seconds),
        Time(set_back, seconds + 60),
        Time(set_back + timedelta(minutes=41), seconds + 2460),
    )
    assert issued(delivery) == set_back + timedelta(minutes=41)
