"""Private folders and atomic writes, under any umask and when the disk says no."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.errors import SandboxError
from sandbox.system.files import exclusive, make_private_dir, replacing, write_atomic


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.security(14)
@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_modes_do_not_depend_on_the_umask(tmp_path: Path, umask: int) -> None:
    """Files are written under any umask → 0600 and 0700."""
    before = os.umask(umask)
    try:
        make_private_dir(tmp_path / "a" / "b")
        write_atomic(tmp_path / "a" / "b" / "key", b"secret", mode=0o600)
        write_atomic(tmp_path / "a" / "b" / "cert", b"public", mode=0o644)
        with replacing(tmp_path / "data"):
            pass
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "a") == mode_of(tmp_path / "a" / "b") == 0o700
    assert mode_of(tmp_path / "a" / "b" / "key") == 0o600
    assert mode_of(tmp_path / "a" / "b" / "cert") == 0o644
    assert mode_of(tmp_path / "data") == 0o666 & ~umask
    (tmp_path / "a").chmod(0o755)
    (tmp_path / "a" / "b").chmod(0o777)
    make_private_dir(tmp_path / "a" / "b")
    assert (mode_of(tmp_path / "a"), mode_of(tmp_path / "a" / "b")) == (0o755, 0o700)


def test_a_file_in_the_way_is_an_error_and_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "file").chmod(0o640)
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(SandboxError) as caught:
            make_private_dir(path)
        assert caught.value.fix and str(tmp_path) in caught.value.details
    assert mode_of(tmp_path / "file") == 0o640


@pytest.mark.parametrize("name", ["x" * 255, "鯨" * 85], ids=["one", "three"])
def test_write_replaces_a_file_of_the_longest_name_or_a_link(tmp_path: Path, name: str) -> None:
    path, link = tmp_path / name, tmp_path / "link"
    path.write_bytes(b"old")
    path.chmod(0o666)
    link.symlink_to(path)
    write_atomic(path, b"new", mode=0o600)
    assert (path.read_bytes(), mode_of(path)) == (b"new", 0o600)
    write_atomic(link, b"other", mode=0o600)
    assert path.read_bytes() == b"new" and not link.is_symlink()
    assert {each.name for each in tmp_path.iterdir()} == {name, "link"}
    with pytest.raises(SandboxError) as caught:
        make_private_dir(tmp_path / ("x" * 300))
    assert "too long" in caught.value.details


@pytest.mark.fault(16)
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No space at the moment of writing → the file is as it was, and the error names it."""

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "key"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SandboxError, match="cannot be written") as caught:
        write_atomic(path, b"new", mode=0o600)
    assert "No space left" in caught.value.details
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_writers_of_one_file_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with replacing(path) as first:
        first.write(b"fir")
        with replacing(path) as second:
            second.write(b"second")
        assert path.read_bytes() == b"second"
        first.write(b"st")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_lock_is_exclusive(tmp_path: Path) -> None:
    with exclusive(tmp_path):
        with pytest.raises(SandboxError, match="another command") as caught, exclusive(tmp_path, seconds=0):
            pass
        assert caught.value.fix
    with exclusive(tmp_path, seconds=0):
        pass


@pytest.mark.fault(68)
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to(os.devnull)])
def test_special_file_is_never_replaced(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A device, FIFO or folder where a file is to be written → an error; it stays what it was."""
    make(path := tmp_path / "place")
    before = path.lstat()
    with pytest.raises(SandboxError) as caught:
        write_atomic(path, b"new", mode=0o600)
    assert caught.value.id == "not-a-file"
    assert (path.lstat().st_ino, path.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert not list(tmp_path.glob("*.tmp"))
