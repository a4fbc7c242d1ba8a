"""The process that renews a cluster's credentials while it exists: `python -m … KUBECONFIG ENTRIES`.

It is a process of the user's on this machine, because the keys are here and do not enter the cluster.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sandbox.components.credentials.kept_secret import Entries, Held
from sandbox.components.credentials.pull_secrets import PullSecrets
from sandbox.components.credentials.registry_accounts import mint
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster
from sandbox.oci.credential import CredentialsUnusable

log = logging.getLogger(__name__)

CHECK_EVERY = 30.0
"""Seconds between two checks of the clocks; the time of day goes on while a laptop sleeps."""

RETRY = timedelta(minutes=1)
LONGEST = timedelta(minutes=30)
"""The longest pause between two attempts that fail."""


@dataclass(frozen=True)
class Renewed:
    """The results of a renewal, by the Secret's name."""

    done: tuple[str, ...]
    failed: Mapping[str, SandboxError]


def renew(delivery: PullSecrets, held: Collection[Held], environ: Mapping[str, str], *, now: datetime) -> Renewed:
    """Renew all of `held`; one failure does not keep the others. Raises ClusterError."""
    done: list[str] = []
    failed: dict[str, SandboxError] = {}
    for one in held:
        try:
            login = mint(one.entry, environ, now=now)
        except SandboxError as error:
            failed[one.entry.secret] = error
        except Exception as error:  # an unforeseen answer; its text may contain a token
            brief = f"the account of {one.entry.secret} cannot be renewed: unexpected {type(error).__name__}"
            failed[one.entry.secret] = CredentialsUnusable(brief, fix="sandbox credentials refresh")
        else:
            delivery.place(one.entry, login)
            done.append(one.entry.secret)
    if done:
        delivery.spread()
    return Renewed(tuple(done), failed)


@dataclass(frozen=True)
class Time:
    """The time of day, by which tokens expire but which can be set, and seconds that only go forward."""

    day: datetime
    ticks: float

    @classmethod
    def now(cls) -> Time:
        """Return both clocks at once."""
        return cls(datetime.now(UTC), time.monotonic())

    def is_past(self, day: datetime, ticks: float) -> bool:
        """Tell whether one of the clocks has reached its moment."""
        return self.day >= day or self.ticks >= ticks


Clock = Callable[[], Time]


def argv(kubeconfig: Path, entries: Path) -> Sequence[str]:
    """Return the command that starts it; -P, since the current folder may contain a package of our name."""
    return (sys.executable, "-P", "-m", __spec__.name, str(kubeconfig), str(entries))


def run(
    kubeconfig: Path, entries: Entries, environ: Mapping[str, str], stopping: threading.Event, clock: Clock
) -> None:
    """Renew what is due until `stopping`, or until the cluster or the last credentials that expire are gone.

    A pause ends by either clock: where the time of day was set back meanwhile, what was due then is due now.
    """
    now = clock()
    day, ticks, failures = now.day, now.ticks, 0
    while not stopping.is_set() and kubeconfig.exists():
        now = clock()
        if now.is_past(day, ticks):
            try:
                pause = _renew(kubeconfig, entries, environ, now.day, due_at=max(now.day, day))
            except Exception as error:  # whatever a service or a cluster answered, the next attempt may succeed
                log.warning("%s", error if isinstance(error, SandboxError) else f"{type(error).__name__}")
                pause = RETRY
                failures += 1
            else:
                if pause is None:
                    return
                failures = failures + 1 if pause == RETRY else 0
            if failures:
                pause = min(RETRY * 2 ** min(failures - 1, 10), LONGEST)
            day, ticks = now.day + pause, now.ticks + pause.total_seconds()
        stopping.wait(CHECK_EVERY)


def _renew(
    kubeconfig: Path, entries: Entries, environ: Mapping[str, str], now: datetime, *, due_at: datetime
) -> timedelta | None:
    """Renew what is due at `due_at`; return how long to wait, RETRY after a failure, None when nothing expires."""
    delivery = PullSecrets(Cluster(kubeconfig), entries)
    due = [one for one in delivery.held().values() if one.validity.is_due(due_at)]
    renewed = renew(delivery, due, environ, now=now)
    for name in renewed.done:
        log.info("renewed %s", name)
    for name, error in renewed.failed.items():
        log.warning("%s: %s", name, error)
    if renewed.failed:
        return RETRY
    times = [one.validity.renewal for one in delivery.held().values() if one.validity.renewal is not None]
    return max(min(times) - now, timedelta(seconds=CHECK_EVERY)) if times else None


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
    run(Path(sys.argv[1]), Entries(Path(sys.argv[2])), os.environ, stopping, Time.now)


if __name__ == "__main__":
    main()
