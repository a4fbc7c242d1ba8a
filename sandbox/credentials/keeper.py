"""`python -m sandbox.credentials.keeper KUBECONFIG`: renews a cluster's registry credentials as long as it is there.

A process of the user's, on this machine, because the keys are here and do not enter the cluster.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sandbox.cluster.api import Cluster
from sandbox.credentials.delivery import Delivery
from sandbox.credentials.renewal import renew
from sandbox.errors import SandboxError

log = logging.getLogger(__name__)

LOOK = 30.0
"""Seconds between two looks at the clock, which goes on while a laptop sleeps."""

RETRY = timedelta(minutes=1)

Clock = Callable[[], datetime]


def argv(kubeconfig: Path) -> Sequence[str]:
    """How to start it; -P, since the folder that a command is called in may hold a package of our name."""
    return (sys.executable, "-P", "-m", __spec__.name, str(kubeconfig))


def run(kubeconfig: Path, environ: Mapping[str, str], stopping: threading.Event, clock: Clock) -> None:
    """Renew what is due until `stopping`, or until the cluster or the last credentials that end are gone."""
    again = clock()
    while not stopping.is_set() and kubeconfig.exists():
        now = clock()
        if now >= again:
            following = _look(kubeconfig, environ, now)
            if following is None:
                return
            again = following
        stopping.wait(LOOK)


def _look(kubeconfig: Path, environ: Mapping[str, str], now: datetime) -> datetime | None:
    """Renew what is due; returns when to look again, None when nothing is left that ends."""
    try:
        delivery = Delivery(Cluster(kubeconfig))
        held = list(delivery.held().values())
        due = [one for one in held if one.validity.is_due(now)]
        renewed = renew(delivery, due, environ, now=now)
        for name in renewed.done:
            log.info("renewed %s", name)
        for name, error in renewed.failed.items():
            log.warning("%s: %s", name, error)
        if renewed.failed:
            return now + RETRY
        times = [one.validity.renewal for one in delivery.held().values() if one.validity.renewal is not None]
    except SandboxError as error:
        log.warning("%s", error)
        return now + RETRY
    return min(times) if times else None


def main() -> None:
    """Run until told to stop."""
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.WARNING)
    log.setLevel(logging.INFO)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.chdir("/")
    os.umask(0o077)
    run(Path(sys.argv[1]), os.environ, stopping, lambda: datetime.now(UTC))


if __name__ == "__main__":
    main()
