"""What every command has around it: a log that stays small and that only its user can read."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator

import pytest

from sandbox.app import context
from sandbox.cli import log as command_log
from sandbox.system import process

LIMIT = 2_000_000


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """The logger as commands have it; what it was before afterwards."""
    logger = logging.getLogger("sandbox")
    before = (logger.handlers, logger.level, logger.propagate, logging.raiseExceptions)
    command_log.start(verbose=False)
    yield logger
    for handler in logger.handlers:
        handler.close()
    logger.handlers, logger.level, logger.propagate, logging.raiseExceptions = before


@pytest.mark.security(1)
def test_full_log_is_rotated_and_two_older_ones_are_kept(log: logging.Logger) -> None:
    """Eight megabytes are logged under an open umask → three files of two at most, mode 0600, the newest words there"""
    before = os.umask(0o022)
    try:
        for number in range(80):
            log.debug("%d %s", number, "x" * 100_000)
    finally:
        os.umask(before)
    place = context.home().log
    files = sorted(place.parent.glob(f"{place.name}*"))
    assert [one.name for one in files] == [place.name, f"{place.name}.1", f"{place.name}.2"]
    assert all(one.stat().st_size <= LIMIT for one in files)
    assert {stat.S_IMODE(one.stat().st_mode) for one in files} == {0o600}
    assert " 79 x" in files[0].read_text()


@pytest.mark.security(12)
def test_a_programs_escape_sequences_do_not_reach_the_log(log: logging.Logger) -> None:
    """A program prints escape sequences, to its end or line by line → the log has its words without them."""
    print_ = "printf 'red \\033[31mwords\\033]0;title\\007\\n'"
    process.run(["sh", "-c", print_], timeout=30, on_line=lambda _: None)
    log.debug("said: %s", "\x1b[2J\u202eover")
    text = context.home().log.read_text()
    assert "red words]0;title" in text and "said: over" in text
    assert not [c for c in text if not c.isprintable() and c != "\n"]
