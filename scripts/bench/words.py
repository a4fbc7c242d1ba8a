"""How the benchmark runs programs and tells what it does: to standard error, with the machine's load in front."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# What is installed has its bytecode next to it; a setting of this shell's must not make every start compile it again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def run(*argv: str | Path) -> str:
    """Run a program and give its standard output. Ends the benchmark with the program's own words when it fails."""
    words = [str(word) for word in argv]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout[-1000:]}{done.stderr[-2000:]}")
    return done.stdout


def attempt(*argv: str | Path) -> None:
    """Run a program that may fail, such as the removal of what is gone already."""
    subprocess.run([str(word) for word in argv], stdin=subprocess.DEVNULL, capture_output=True, check=False)


def say(text: str) -> None:
    """One line of progress."""
    print(f"[load {os.getloadavg()[0]:.1f}] {text}", file=sys.stderr, flush=True)
