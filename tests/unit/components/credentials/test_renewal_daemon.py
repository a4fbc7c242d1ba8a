"""The process that renews logins, and the renewal itself."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sandbox.components.credentials import renewal_daemon
from sandbox.components.credentials.pod_credentials import PodCredentials
from sandbox.components.credentials.pod_logins import PodLogin
from sandbox.components.credentials.registry_login import Login
from sandbox.config.schema.credentials_schema import Credentials, Docker, Gcr
from sandbox.errors import SandboxError
from sandbox.names import Names
from tests.support.token_services import Services
from tests.unit.components.credentials.conftest import Write, docker_config


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
    return pods.logins.read()["gcr-secret"].issued


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
    failed = pods.renew(list(pods.logins.read().values()), now=datetime.now(UTC), at_once=False)
    assert failed.keys() == {"lost"}
    assert issued(pods) > then
    removed = list(pods.logins.read().values())
    pods.forget(["gcr-secret", "lost"])
    pods.renew(removed, now=datetime.now(UTC), at_once=False)
    assert pods.logins.read() == {}
