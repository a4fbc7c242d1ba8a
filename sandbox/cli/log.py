"""The log of commands, in a file that only the user can read, and on stderr with --verbose."""

import logging
import os
import shlex
import sys
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import cast

from sandbox.app.context import home
from sandbox.errors import SandboxError, UsageError
from sandbox.sanitize import fit
from sandbox.system import files


def command_line() -> str:
    return fit(f"sandbox {shlex.join(sys.argv[1:])}")


def start(*, verbose: bool) -> None:
    """Log everything to the user's log file, and to stderr if asked; a log that cannot be written stops no command.

    Raises UsageError where `sudo sandbox` would leave files that belong to root in another user's home folder.
    """
    place, folder = home(), Path.home()
    if os.geteuid() == 0 and os.environ.get("SUDO_UID") and folder.exists() and folder.stat().st_uid != 0:
        raise UsageError(
            f"sudo would leave files owned by root in {folder}",
            fix="run it without sudo; access to the Docker Engine is enough: sudo usermod -aG docker "
            f"{os.environ.get('SUDO_USER', '$USER')}\n"
            "or, if root is needed, with root's home: sudo -H sandbox …",
            id="home",
        )
    logging.raiseExceptions = False  # nor does a log that is full later
    logger = logging.getLogger("sandbox")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        files.make_private_dir(place.state)
        file: logging.Handler = _Log(place.log, maxBytes=2_000_000, backupCount=2, encoding="utf-8", errors="replace")
    except (OSError, SandboxError) as error:
        file = logging.NullHandler()
        sys.stderr.write(f"{place.log} cannot be written, so nothing is logged: {error}\n")
    file.setFormatter(_Fit("%(asctime)s %(process)d %(name)s: %(message)s"))
    logger.handlers = [file]
    if verbose:
        shown = logging.StreamHandler(sys.stderr)
        shown.setFormatter(_Fit())
        logger.addHandler(shown)
    logger.debug("%s", command_line())


class _Fit(logging.Formatter):
    """Formats records: messages contain texts of programs and servers, which must not control a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return fit(super().format(record))


class _Log(RotatingFileHandler):
    def _open(self) -> TextIOWrapper:
        opened = open(  # noqa: SIM115  # for as long as it logs
            self.baseFilename, self.mode, encoding=self.encoding, errors=self.errors, opener=files.private
        )
        return cast("TextIOWrapper", opened)
