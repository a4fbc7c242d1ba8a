"""The process that renews a cluster's logins while it exists: `python -m … KUBECONFIG LIST NODE…`.

It is a process of the user's on this machine, because the keys are here and do not enter the cluster.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sandbox.components.credentials.delivery import Delivery
from sandbox.components.credentials.node_logins import NodeLogins
from sandbox.components.credentials.pod_logins import PodLogins
from sandbox.components.credentials.pull_secrets import PullSecrets
from sandbox.engine import Engine
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster

log = logging.getLogger(__name__)

CHECK_EVERY = 30.0
"""Seconds between two checks of the clocks; the time of day goes on while a laptop sleeps."""

RETRY = timedelta(minutes=1)
LONGEST = timedelta(minutes=30)
"""The longest pause between two attempts that fail."""


@dataclass(frozen=True)
class Time:
    """The time of day, by which tokens expire but which can be set, and seconds that only go forward."""

    day: datetime
    ticks: float

    @classmethod
    def now(cls) -> Time:
        return cls(datetime.now(UTC), time.monotonic())

    def is_past(self, day: datetime, ticks: float) -> bool:
        """Tell whether one of the clocks has reached its moment."""
        return self.day >= day or self.ticks >= ticks


Clock = Callable[[], Time]


def run(
    kubeconfig: Path,
    delivery: Callable[[], Delivery],
    environ: Mapping[str, str],
    stopping: threading.Event,
    clock: Clock,
) -> None:
    """Renew what is due until `stopping`, or until the cluster or the last login that expires is gone.

    A pause ends by either clock: where the time of day was set back meanwhile, what was due then is due now.
    """
    now = clock()
    day, ticks, failures = now.day, now.ticks, 0
    while not stopping.is_set() and kubeconfig.exists():
        now = clock()
        if now.is_past(day, ticks):
            try:
                pause = _renew(delivery(), environ, now.day, due_at=max(now.day, day))
            except SandboxError as error:
                log.warning("%s", error)
                pause = RETRY
            if pause is None:
                return
            failures = failures + 1 if pause == RETRY else 0
            if failures:
                pause = min(RETRY * 2 ** min(failures - 1, 10), LONGEST)
            day, ticks = now.day + pause, now.ticks + pause.total_seconds()
        stopping.wait(CHECK_EVERY)


def _renew(delivery: Delivery, environ: Mapping[str, str], now: datetime, *, due_at: datetime) -> timedelta | None:
    """Renew what is due at `due_at`; return how long to wait, RETRY after a failure, None when nothing expires.

    A login is renewed before it expires, so the kubelet may go on with the one before for some minutes.
    """
    due = [login for login in delivery.logins.read().values() if login.validity.is_due(due_at)]
    if due:
        renewed = delivery.renew(due, environ, now=now, at_once=False)
        for name in renewed.done:
            log.info("renewed %s", name)
        for name, error in renewed.failed.items():
            log.warning("%s: %s", name, error)
        if renewed.failed:
            return RETRY
    times = [login.validity.renewal for login in delivery.logins.read().values() if login.validity.renewal is not None]
    return max(min(times) - now, timedelta(seconds=CHECK_EVERY)) if times else None


def main() -> None:
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.WARNING)
    log.setLevel(logging.INFO)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.chdir("/")
    os.umask(0o077)
    kubeconfig, file, *nodes = sys.argv[1:]

    def delivery() -> Delivery:
        secrets = PullSecrets(Cluster(Path(kubeconfig)))
        return Delivery(PodLogins(Path(file)), NodeLogins(Engine.connect(), tuple(nodes)), secrets)

    run(Path(kubeconfig), delivery, os.environ, stopping, Time.now)


if __name__ == "__main__":
    main()
