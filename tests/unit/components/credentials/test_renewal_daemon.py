"""The process that renews, and the renewal itself."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sandbox.components.credentials import renewal_daemon
from sandbox.components.credentials.kept_secret import Entries
from sandbox.components.credentials.pull_secrets import PullSecrets
from sandbox.components.credentials.registry_accounts import mint
from sandbox.components.credentials.registry_login import Login
from sandbox.components.credentials.renewal_daemon import Time, renew
from sandbox.config.schema.credentials_schema import Credentials, Docker, Gcr
from sandbox.names import Names
from sandbox.system import daemon
from sandbox.system.wait import wait_until
from tests.support.api_server import ApiServer
from tests.support.token_services import CANARY, Services

Write = Callable[..., Path]


@pytest.fixture
def entry(services: Services, write: Write) -> Gcr:
    return Gcr(kind="gcr", file=write(services.google.key_file(services.url)))


@pytest.fixture
def delivery(names: Names, server: ApiServer) -> PullSecrets:
    return PullSecrets.of(names)


class Clock:
    """A clock that stops the keeper when it is asked once more than there are times."""

    def __init__(self, stopping: threading.Event, *times: Time) -> None:
        self.times, self.stopping = list(times), stopping

    def __call__(self) -> Time:
        if len(self.times) == 1:
            self.stopping.set()
        return self.times.pop(0)


def entries(names: Names) -> Path:
    return names.credentials / "entries.json"


def run(names: Names, monkeypatch: pytest.MonkeyPatch, *times: datetime | Time) -> None:
    """The keeper at these times; where only the time of day is said, no clock was set."""
    monkeypatch.setattr(renewal_daemon, "CHECK_EVERY", 0.0)
    stopping = threading.Event()
    moments = [one if isinstance(one, Time) else Time(one, one.timestamp()) for one in times]
    clock = Clock(stopping, moments[0], *moments)
    renewal_daemon.run(names.kubeconfig, Entries(entries(names)), os.environ, stopping, clock)


def kept(delivery: PullSecrets) -> datetime:
    return delivery.held()["gcr-secret"].validity.issued


def test_token_is_renewed_when_due_and_not_before(
    names: Names, delivery: PullSecrets, entry: Gcr, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    delivery.keep(entry, mint(entry, {}, now=now), "spec")
    run(names, monkeypatch, now + timedelta(minutes=1))
    assert kept(delivery) == now
    services.ahead = timedelta(minutes=45)
    late = now + services.ahead
    run(names, monkeypatch, now, now + timedelta(minutes=1), late)
    assert kept(delivery) == late
    assert delivery.pending() is None


def test_a_renewal_that_fails_is_tried_again_and_said(
    names: Names,
    delivery: PullSecrets,
    entry: Gcr,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = datetime.now(UTC)
    delivery.keep(entry, mint(entry, {}, now=now), "spec")
    services.failures, services.ahead = 3, timedelta(minutes=45)
    late = now + services.ahead
    run(names, monkeypatch, late, late + timedelta(seconds=30), late + timedelta(seconds=61))
    assert kept(delivery) == late + timedelta(seconds=61)
    assert "gcr-secret: Google's token service fails" in caplog.text


def test_renewal_ends_with_cluster_or_when_nothing_expires(
    names: Names, delivery: PullSecrets, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write('{"auths": {"quay.io": {"username": "me", "password": "canary"}}}', "config.json")
    docker = Docker(kind="docker", file=file)
    delivery.keep(docker, mint(docker, {}, now=datetime.now(UTC)), "spec")
    endless = threading.Event()
    renewal_daemon.run(names.kubeconfig, Entries(entries(names)), {}, endless, Time.now)
    names.kubeconfig.unlink()
    renewal_daemon.run(names.kubeconfig, Entries(entries(names)), {}, endless, Time.now)
    assert not endless.is_set()


def test_failed_renewal_does_not_delay_the_others(delivery: PullSecrets, entry: Gcr) -> None:
    then = datetime.now(UTC) - timedelta(minutes=50)
    delivery.keep(entry, mint(entry, {}, now=then), "spec")
    held = delivery.held()["gcr-secret"]
    lost = replace(held, entry=entry.model_copy(update={"secret": "lost", "file": Path("/no")}))
    renewed = renew(delivery, [lost, held], {}, now=datetime.now(UTC))
    assert renewed.done == ("gcr-secret",)
    assert renewed.failed.keys() == {"lost"}
    assert kept(delivery) > then


def test_as_a_process_it_renews_what_has_ended(
    names: Names, delivery: PullSecrets, entry: Gcr, services: Services, tmp_path: Path
) -> None:
    then = datetime.now(UTC) - timedelta(minutes=59)
    delivery.keep(entry, mint(entry, {}, now=then), "spec")
    services.google.token = f"{CANARY}-gcr-next"
    log, record = tmp_path / "log", tmp_path / "record"
    daemon.start(renewal_daemon.argv(names.kubeconfig, entries(names)), log_to=log, record=record)
    try:
        wait_until(lambda: None if kept(delivery) > then else "the renewal", what="it", timeout=60)
        wait_until(delivery.pending, what="it", timeout=60)
    finally:
        assert daemon.end(record)
    assert "renewed gcr-secret" in log.read_text()
    assert CANARY not in log.read_text()
    assert CANARY not in " ".join(renewal_daemon.argv(names.kubeconfig, entries(names)))


@pytest.mark.parametrize("error", [OSError("no route"), KeyError("items"), ValueError("not JSON"), TypeError()])
def test_the_keeper_survives_any_answer(
    names: Names,
    delivery: PullSecrets,
    entry: Gcr,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    """A cluster or a service answers what no one foresaw → it is logged, and tried again."""
    now = datetime.now(UTC)
    delivery.keep(entry, mint(entry, {}, now=now), "spec")
    services.ahead = timedelta(minutes=45)
    errors = [error, error]
    genuine = PullSecrets.held

    def held(self: PullSecrets) -> object:
        if errors:
            raise errors.pop()
        return genuine(self)

    monkeypatch.setattr(PullSecrets, "held", held)
    late = now + services.ahead
    # a minute after the first failure, two after the second
    run(names, monkeypatch, late, *(late + timedelta(seconds=one) for one in (61, 121, 182)))
    assert kept(delivery) == late + timedelta(seconds=182)
    assert caplog.text.count(type(error).__name__) == 2


def test_an_odd_answer_for_one_does_not_keep_the_others(
    delivery: PullSecrets, entry: Gcr, monkeypatch: pytest.MonkeyPatch
) -> None:
    then = datetime.now(UTC) - timedelta(minutes=50)
    delivery.keep(entry, mint(entry, {}, now=then), "spec")
    held = delivery.held()["gcr-secret"]
    odd = replace(held, entry=entry.model_copy(update={"secret": "odd"}))

    def answer(one: Credentials, environ: Mapping[str, str], *, now: datetime) -> Login:
        if one.secret == "odd":
            raise KeyError(f"{CANARY}-token")
        return mint(one, environ, now=now)

    monkeypatch.setattr("sandbox.components.credentials.renewal_daemon.mint", answer)
    renewed = renew(delivery, [odd, held], {}, now=datetime.now(UTC))
    assert renewed.done == ("gcr-secret",)
    assert str(renewed.failed["odd"]) == "the account of odd cannot be renewed: unexpected KeyError"


def test_a_clock_set_back_does_not_delay_a_renewal(
    names: Names, delivery: PullSecrets, entry: Gcr, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of day is set back by days while the keeper runs → the token is renewed when its time has passed."""
    now = datetime.now(UTC)
    delivery.keep(entry, mint(entry, {}, now=now), "spec")
    seconds = now.timestamp()
    set_back = now - timedelta(days=3)
    services.ahead = timedelta(minutes=41) - timedelta(days=3)
    services.google.checks_times = False  # the machine's own clock is right
    run(
        names,
        monkeypatch,
        Time(now, seconds),
        Time(set_back, seconds + 60),
        Time(set_back + timedelta(minutes=41), seconds + 2460),
    )
    assert kept(delivery) == set_back + timedelta(minutes=41)


def test_a_keeper_does_not_put_back_what_was_removed(delivery: PullSecrets, entry: Gcr) -> None:
    now = datetime.now(UTC)
    delivery.keep(entry, mint(entry, {}, now=now), "command")
    held = delivery.held()["gcr-secret"]
    delivery.forget(["gcr-secret"])
    renew(delivery, [held], {}, now=now)
    assert delivery.held() == {}
