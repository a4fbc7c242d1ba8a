"""The command line: one file for each command or group of commands, over `sandbox.app`."""

import gc
import signal
import sys
from contextlib import suppress

# Imported objects stay for ever, and most commands create fewer objects than this; to search them for garbage would
# take a tenth of the time of `status`.
gc.set_threshold(200_000)
# A check asks one question after another, next to threads that compute: by default each answer would wait 5 ms.
sys.setswitchinterval(0.001)

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
