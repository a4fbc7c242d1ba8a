"""The process that renews logins, and the renewal itself."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sandbox.components.credentials import renewal_daemon
from sandbox.components.credentials.pod_credentials import RENEWAL, Delivery, requested
from sandbox.components.credentials.pod_logins import PodLogin
from sandbox.components.credentials.registry_login import Login
from sandbox.config.schema.credentials_schema import Credentials, Docker, Gcr
from sandbox.errors import SandboxError
from sandbox.names import Names
from sandbox.system import daemon
from sandbox.system.wait import wait_until
from tests.support.token_services import Services

Write = Callable[..., Path]


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


def run(delivery: Delivery, *moments: datetime) -> list[float]:
    """The process at these moments, and its pauses."""
    pauses = Pauses(*moments)
    renewal_daemon.run(KUBECONFIG, lambda: delivery, os.environ, pauses, pauses.now)
    return pauses.seconds


def give(delivery: Delivery, entry: Credentials, now: datetime) -> None:
    delivery.deliver(requested(entry, "spec", {}, now=now))


def issued(delivery: Delivery) -> datetime:
    return delivery.logins.read()["gcr-secret"].issued


def test_token_is_renewed_when_due_and_not_before(delivery: Delivery, entry: Gcr) -> None:
    now = datetime.now(UTC)
    give(delivery, entry, now)
    run(delivery, now + timedelta(minutes=1))
    assert issued(delivery) == now
    late = now + timedelta(minutes=45)
    assert run(delivery, now, late) == [30, 30]
    assert issued(delivery) == late
    assert delivery.pending() is None
    set_back = now - timedelta(days=3)  # the clock was
    run(delivery, set_back)
    assert issued(delivery) == set_back


def test_failed_renewals_are_logged_and_tried_again(
    delivery: Delivery, entry: Gcr, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    now = datetime.now(UTC)
    give(delivery, entry, now)
    late = now + timedelta(minutes=45)
    services.google.refusals = 2
    assert run(delivery, late, late, late) == [300, 300, 30]
    assert issued(delivery) == late
    assert "gcr-secret: Google gives no token" in caplog.text


def test_process_survives_a_cluster_that_fails(
    delivery: Delivery, entry: Gcr, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = datetime.now(UTC)
    give(delivery, entry, now)
    late = now + timedelta(minutes=45)
    errors, deliver = [SandboxError("the cluster is away")], Delivery.deliver

    def failing(self: Delivery, fresh: Mapping[PodLogin, Login], *, at_once: bool) -> None:
        if errors:
            raise errors.pop()
        deliver(self, fresh, at_once=at_once)

    monkeypatch.setattr(Delivery, "deliver", failing)
    assert run(delivery, late, late) == [300, 30]
    assert "the cluster is away" in caplog.text
    assert issued(delivery) == late


def test_renewal_ends_with_cluster_or_when_nothing_expires(delivery: Delivery, write: Write, names: Names) -> None:
    file = write('{"auths": {"quay.io": {"auth": "bWU6Y2FuYXJ5"}}}', "config.json")
    give(delivery, Docker(kind="docker", file=file), datetime.now(UTC))
    endless = threading.Event()
    renewal_daemon.run(names.kubeconfig, lambda: delivery, {}, endless)
    names.kubeconfig.unlink()
    renewal_daemon.run(names.kubeconfig, lambda: delivery, {}, endless)
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
    removed = list(delivery.logins.read().values())
    delivery.forget(["gcr-secret", "lost"])
    delivery.renew(removed, {}, now=datetime.now(UTC), at_once=False)
    assert delivery.logins.read() == {}


def test_process_ends_without_a_cluster(names: Names, tmp_path: Path) -> None:
    log, record = tmp_path / "log", tmp_path / "record"
    places = (str(names.kubeconfig), str(names.credentials / "logins.json"), names.node)
    daemon.start((sys.executable, "-P", "-m", RENEWAL, *places), log_to=log, record=record)
    wait_until(lambda: "it runs" if daemon.find(record) else None, what="its end", timeout=60)
    assert log.read_text() == ""
