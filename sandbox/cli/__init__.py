"""The command line: one file for each command or group of commands, over `sandbox.app`."""

import gc

# What imports make is there to stay, and most commands make no more objects than this: to look through them for
# garbage would take a tenth of the time of `status`.
gc.set_threshold(200_000)

from sandbox.cli.app import main  # noqa: E402

__all__ = ["main"]
