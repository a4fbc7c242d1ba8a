"""What a build sends to the engine: a .dockerignore that cannot be read keeps secrets out of images no less."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.engine.engine_images import build_context, excluded
from sandbox.errors import SandboxError


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def loop(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.fault(68)
@pytest.mark.parametrize("harm", [os.mkfifo, Path.mkdir, endless, loop])
def test_odd_ignore_file_is_refused_at_once(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    """A FIFO, folder or device in the place of .dockerignore → refused; not waited for, and not as if it was empty."""
    (tmp_path / "secret").touch()
    harm(tmp_path / ".dockerignore")
    for use in (build_context, excluded):
        with pytest.raises(SandboxError) as caught:
            use(tmp_path)
        assert ".dockerignore" in caught.value.brief


def test_ignore_file_with_a_byte_order_mark_excludes(tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    (tmp_path / ".dockerignore").write_bytes("\ufeffsecret\n".encode())
    assert "secret" not in build_context(tmp_path)
    assert excluded(tmp_path)("secret")


def test_folder_without_an_ignore_file_is_sent_whole(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").touch()
    assert build_context(tmp_path) == {"in", "in/file"}
