"""What the environment decides, read here and nowhere else: the user's folders, the kubeconfig, the log file."""

from __future__ import annotations

import logging
import os
import sys
from logging.handlers import RotatingFileHandler

from sandbox.api.world import home, keychain
from sandbox.host import files

__all__ = ["arm_failpoint", "catch_signals", "home", "keychain", "start_log"]


def has_desktop() -> bool:
    """Whether a browser that is opened would be seen: at a terminal of a machine with a screen."""
    screen = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(screen) and sys.stdout.isatty()


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


def catch_signals(doing: str = "stopping", after: str = "") -> None:
    """Let an interrupt, a terminate or a hang-up end the command in an orderly way; a second one ends it at once.

    `doing` is what comes then, said at once; `after` is said at the end: what stays and how to go on.
    """
    from sandbox.cli import signals

    signals.catch(doing, after)
