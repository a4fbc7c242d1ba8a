"""What this machine can do at best, compared with the programs: nothing that stores and checks bytes is faster."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

CHUNK = 1 << 20


def hash_and_write(folder: Path, size: int) -> float:
    """Seconds it takes to hash `size` bytes (sha256) and write them to a file, synced: what every registry must do."""
    data = os.urandom(CHUNK)
    measure = hashlib.sha256()
    path = folder / "limit"
    begun = time.monotonic()
    with path.open("wb") as file:
        for _ in range(size // CHUNK):
            measure.update(data)
            file.write(data)
        file.flush()
        os.fsync(file.fileno())
    seconds = time.monotonic() - begun
    path.unlink()
    return seconds


def save(names: Sequence[str]) -> float:
    """Seconds the engine takes to save these images, their bytes thrown away: no program can read them sooner."""
    begun = time.monotonic()
    argv = ["docker", "save", *(f"{name}:1" for name in names)]
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - begun


def start_up() -> float:
    """Seconds that the interpreter and the imports of `sandbox push-images` take, and nothing else."""
    begun = time.monotonic()
    argv = [
        sys.executable,
        "-c",
        "import sandbox.cli, sandbox.cli.push_images, sandbox.app.core, sandbox.images.image_push",
    ]
    # As the command does itself, before it imports anything that looks for plugins.
    subprocess.run(argv, check=True, env={**os.environ, "PYDANTIC_DISABLE_PLUGINS": "1"})
    return time.monotonic() - begun
