"""What the environment decides, read here and nowhere else: the user's folders, the kubeconfig, the log file."""

from __future__ import annotations

import logging
import os
import signal
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from platformdirs import user_cache_path, user_state_path

from sandbox.host import files
from sandbox.names import Home

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.registry.credential import Keychain
    from sandbox.spec.credentials import Credentials


def home() -> Home:
    """The user's folders: XDG's on Linux, the system's own elsewhere; kubectl's KUBECONFIG.

    Of a list, kubectl writes what is new to the first file that exists, else to the last (client-go,
    tools/clientcmd/loader.go: GetDefaultFilename).
    """
    listed = [Path(one) for one in os.environ.get("KUBECONFIG", "").split(os.pathsep) if one]
    listed = listed or [Path.home() / ".kube" / "config"]
    chosen = next((one for one in listed if one.exists()), listed[-1])
    return Home(
        state=user_state_path("sandbox"),
        cache=user_cache_path("sandbox"),
        kubeconfig=chosen,
        other_kubeconfigs=tuple(one for one in dict.fromkeys(listed) if one != chosen),
    )


def keychain(entries: Sequence[Credentials] = ()) -> Keychain:
    """The accounts that the spec's `credentials` name, then those of `docker login`."""
    from sandbox.credentials.keychain import keychain

    return keychain(entries, os.environ)


def start_log(*, verbose: bool) -> None:
    """Log everything to the user's log file, and to stderr when asked."""
    place = home()
    files.make_private_dir(place.state)
    previous = os.umask(0o077)
    try:
        handler = RotatingFileHandler(place.log, maxBytes=2_000_000, backupCount=2)
    finally:
        os.umask(previous)
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(name)s: %(message)s"))
    logger = logging.getLogger("sandbox")
    logger.setLevel(logging.DEBUG)
    logger.handlers = [handler]
    logger.propagate = False
    if verbose:
        logger.addHandler(logging.StreamHandler(sys.stderr))
    logger.debug("sandbox %s", " ".join(sys.argv[1:]))


def arm_failpoint() -> None:
    """Under the switch of tests, let the command break where SANDBOX_FAILPOINT says. Raises UsageError."""
    wanted = os.environ.get("SANDBOX_FAILPOINT")
    if wanted and os.environ.get("SANDBOX_TEST") == "1":
        from sandbox.host.failpoint import Failpoint, arm

        arm(Failpoint.parse(wanted))


def catch_signals() -> None:
    """Let an interrupt, a terminate or a hang-up end the command in an orderly way; a second one ends it at once."""

    def ended(number: int, frame: FrameType | None) -> None:
        from sandbox.cli.boundary import Terminated

        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, lambda again, _: os._exit(128 + again))
        if number == signal.SIGINT:
            sys.stderr.write("\ninterrupted: undoing what this run began (again: leave at once)\n")
            raise KeyboardInterrupt
        raise Terminated(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ended)
