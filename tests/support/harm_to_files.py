"""What may happen to a file while another process reads it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def changed(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3] + b"END")


def shorter(path: Path) -> None:
    os.truncate(path, 2_500_000)


def a_link_to_its_own_bytes(path: Path) -> None:
    path.symlink_to(path.rename(path.with_name("other")))


def a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def below_a_link(path: Path) -> None:
    path.parent.symlink_to(path.parent.rename(path.parent.with_name("elsewhere")))


WHOLE: list[Callable[[Path], None]] = [changed, Path.unlink, a_fifo, a_folder, a_link_to_its_own_bytes]
ALL = [*WHOLE, shorter, below_a_link]
