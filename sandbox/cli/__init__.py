"""The command line: one file for each command or group of commands, over `sandbox.app`."""

import gc
import sys

# What imports make is there to stay, and most commands make no more objects than this: to look through them for
# garbage would take a tenth of the time of `status`.
gc.set_threshold(200_000)
# A check asks one thing after another, next to others that compute: each answer would be taken up 5 ms later.
sys.setswitchinterval(0.001)

from sandbox.cli.app import main  # noqa: E402

__all__ = ["main"]
