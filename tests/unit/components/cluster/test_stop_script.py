"""Who hears SIGTERM, by what the kernel says of real processes."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.components.cluster.stop_script import COMMAND

HANDLES = "signal.signal(signal.SIGTERM, print)"
WAITS = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])"
IGNORES = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
OTHER = "signal.signal(signal.SIGUSR1, print); signal.signal(signal.SIGHUP, print)"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("does", "hears"), [(HANDLES, True), (WAITS, True), (IGNORES, False), (OTHER, False)])
def test_who_handles_or_blocks_the_signal_hears_it(does: str, hears: bool) -> None:
    found = re.search(r"hears='(.*)'", COMMAND[2])
    assert found
    program = f"import signal, sys; {does}; print('.', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        status = Path(f"/proc/{child.pid}/status")
        grep = subprocess.run(["grep", "-sE", found[1], status], stdout=subprocess.DEVNULL)
        child.send_signal(signal.SIGKILL)
    assert (grep.returncode == 0) == hears


def test_the_script_is_bash() -> None:
    subprocess.run(["bash", "-n", "-c", COMMAND[2]], check=True)
