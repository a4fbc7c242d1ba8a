"""The command line: one file for each command or group of commands, over `sandbox.app`."""

import gc
import sys

# Imported objects stay for ever, and most commands create fewer objects than this; to search them for garbage would
# take a tenth of the time of `status`.
gc.set_threshold(200_000)
# A check asks one question after another, next to threads that compute: by default each answer would wait 5 ms.
sys.setswitchinterval(0.001)

from sandbox.cli.app import main  # noqa: E402

__all__ = ["main"]
