"""The process that renews a cluster's logins while it exists: `python -m … KUBECONFIG FOLDER NODE…`."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from sandbox.components.credentials.pod_credentials import PodCredentials
from sandbox.engine import Engine
from sandbox.errors import SandboxError

log = logging.getLogger(__name__)

CHECK_EVERY = 30.0  # seconds between two looks at the clock; a longer pause would not notice that a laptop slept
RETRY = 300.0  # seconds after a failure; a login is renewed when a third of its life is left


def run(
    kubeconfig: Path,
    credentials: Callable[[], PodCredentials],
    stopping: threading.Event,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Renew what is due until `stopping`, or until the cluster or the last login that expires is gone."""
    while kubeconfig.exists():
        pause = RETRY
        try:
            pods, moment = credentials(), now()
            logins = [login for login in pods.logins().values() if login.expires is not None]
            if not logins:
                return
            # Before it expires, so the kubelet may use the old one for some minutes.
            due = [login for login in logins if login.is_due(moment)]
            failed = pods.renew(due, now=moment, at_once=False) if due else {}
            for name, failure in failed.items():
                log.warning("%s: %s", name, failure)
            if not failed:
                pause = CHECK_EVERY
        except SandboxError as error:
            log.warning("%s", error)
        if stopping.wait(pause):
            return


def main() -> None:
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.WARNING)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.chdir("/")
    os.umask(0o077)
    kubeconfig, folder, *nodes = sys.argv[1:]

    def credentials() -> PodCredentials:
        return PodCredentials(Engine.connect(), lambda: nodes, Path(kubeconfig), Path(folder), os.environ)

    run(Path(kubeconfig), credentials, stopping)


if __name__ == "__main__":
    main()
