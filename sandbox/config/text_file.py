"""Reads text files that others may have written: a pipe, a device or an endless file is refused, not waited for."""

import os
import stat
from pathlib import Path

from sandbox.errors import BadFile

MAX_SIZE = 16 << 20  # the manifests that large projects publish as one file have 4 MiB


def read(path: Path, *, most: int = MAX_SIZE, fix: str = "", may_be_pipe: bool = False) -> str:
    """Return the text of the regular file `path`. Raises BadFile, with `fix` if it is missing.

    If it `may_be_pipe`, one that the shell made is waited for (`-f <(…)`, in /dev).
    """
    waits = may_be_pipe and path.is_relative_to("/dev")
    try:
        # Without O_NONBLOCK, opening a pipe that has no writer would wait (open(2)).
        nonblocking = 0 if waits else os.O_NONBLOCK
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | nonblocking)) as file:
            if not waits and not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise BadFile(f"{path} is not a regular file", fix="put a file there, or leave it out")
            content = file.read(most + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadFile(f"{path}: no such file or folder", fix=fix) from error
    except IsADirectoryError as error:
        raise BadFile(f"{path} is a directory, not a file", fix="name the file inside it") from error
    except OSError as error:
        fix = "check its permissions, or name another file"
        raise BadFile(f"{path} cannot be read", details=str(error), fix=fix) from error
    if len(content) > most:
        raise BadFile(f"{path} is larger than {most >> 20} MiB", fix="split it, or check that this is the right file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BadFile(f"{path}:{line}: not UTF-8 text", details=str(error), fix="save it as UTF-8") from error
