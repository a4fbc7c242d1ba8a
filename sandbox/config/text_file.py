"""Reads text files that others may have written: a pipe, a device or an endless file is refused, not waited for."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from sandbox.errors import BadFile

MAX_SIZE = 16 << 20  # the manifests that large projects publish as one file have 4 MiB


def read(path: Path, *, most: int = MAX_SIZE, fix: str = "") -> str:
    """Return the text of the regular file `path`. Raises BadFile, with `fix` where it cannot be read at all."""
    try:
        # Without O_NONBLOCK, opening a pipe that has no writer would wait (open(2)).
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise BadFile(f"{path} is not a regular file", fix="put a file there, or leave it out")
            content = file.read(most + 1)
        # First: the part that was read may end in the middle of a character.
        if len(content) > most:
            split = "split it, or check that this is the right file"
            raise BadFile(f"{path} is larger than {most >> 20} MiB", fix=split)
        return content.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise BadFile(f"{path}: no such file or folder", fix=fix) from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{path} cannot be read", details=str(error), fix=fix) from error
