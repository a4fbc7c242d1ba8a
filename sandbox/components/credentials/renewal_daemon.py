"""The process that renews a cluster's logins while it exists: `python -m … KUBECONFIG LIST NODE…`."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from sandbox.components.credentials.node_logins import NodeLogins
from sandbox.components.credentials.pod_credentials import Delivery, Renewed
from sandbox.components.credentials.pod_logins import PodLogins
from sandbox.components.credentials.pull_secrets import PullSecrets
from sandbox.engine import Engine
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster

log = logging.getLogger(__name__)

CHECK_EVERY = 30.0  # seconds between two looks at the clock; a longer pause would not notice that a laptop slept
RETRY = 300.0  # seconds after a failure; a login is renewed when a third of its life is left


def run(
    kubeconfig: Path,
    delivery: Callable[[], Delivery],
    environ: Mapping[str, str],
    stopping: threading.Event,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Renew what is due until `stopping`, or until the cluster or the last login that expires is gone."""
    while kubeconfig.exists():
        pause = RETRY
        try:
            cluster, moment = delivery(), now()
            logins = [login for login in cluster.logins.read().values() if login.expires is not None]
            if not logins:
                return
            # Before it expires, so the kubelet may use the old one for some minutes.
            due = [login for login in logins if login.is_due(moment)]
            renewed = cluster.renew(due, environ, now=moment, at_once=False) if due else Renewed((), {})
        except SandboxError as error:
            log.warning("%s", error)
        else:
            for name in renewed.done:
                log.info("renewed %s", name)
            for name, failure in renewed.failed.items():
                log.warning("%s: %s", name, failure)
            if not renewed.failed:
                pause = CHECK_EVERY
        if stopping.wait(pause):
            return


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

    run(Path(kubeconfig), delivery, os.environ, stopping)


if __name__ == "__main__":
    main()
