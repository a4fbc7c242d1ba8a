"""The command line: one file for each command or group of commands, over `sandbox.app`."""

import signal
from contextlib import suppress

# Ctrl-C while the rest is imported ends the command as everywhere else, without a traceback.
_raises = signal.getsignal(signal.SIGINT) is signal.default_int_handler
with suppress(ValueError):  # only the main thread may set it
    if _raises:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

from sandbox.cli.app import main  # noqa: E402

with suppress(ValueError):
    if _raises:
        signal.signal(signal.SIGINT, signal.default_int_handler)

__all__ = ["main"]
