"""`python -m sandbox.system.bound_process PID PROGRAM …`: becomes a program that ends when the process PID is killed.

PID is the process that starts it. Only Linux ends programs so (PR_SET_PDEATHSIG, prctl(2)); elsewhere it goes on.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Run the program in the place of this process, unless the one that started it is gone by now."""
    pid, *argv = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == int(pid):
        os.execv(argv[0], argv)  # noqa: S606  # without a shell


if __name__ == "__main__":
    main()
