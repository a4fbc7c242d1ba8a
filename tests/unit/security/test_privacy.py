"""What goes out, and what other users of the machine can get at: nothing."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.app import context
from sandbox.components.certificates.keystore import Keystore
from sandbox.system import files, sandbox_lock
from tests.support.tls import NOW
from tests.unit.cli.test_main import run

DOMAIN = "demo.sandbox.localhost"


def tell(told: Path) -> Callable[[], None]:
    """Lets every attempt to reach something that is not this machine be written down, and fail."""

    def hook(event: str, words: tuple[Any, ...]) -> None:
        if event == "socket.getaddrinfo" or (event == "socket.connect" and not isinstance(words[1], str)):
            with told.open("a") as file:
                file.write(f"{words} {sys.argv}\n")
            raise OSError("unreachable")

    return lambda: sys.addaudithook(hook)


@pytest.mark.security(16)
@pytest.mark.parametrize(
    "line",
    ["--version", "explain", "status", "list", "up", "down", "doctor", "config show", "doctor archive", "certs show"],
)
def test_no_data_is_sent_anywhere(tmp_path: Path, line: str) -> None:
    """Commands on a machine where every connection is written down → not one that leaves it."""
    told = tmp_path / "told"
    found = run(*line.split(), cwd=tmp_path, before=tell(told))
    assert found.code in (0, 1, 4)
    outward = [one for one in (told.read_text().splitlines() if told.exists() else ()) if "127.0.0.1" not in one]
    assert not [one for one in outward if "localhost" not in one]


@pytest.mark.security(14, 17)
def test_other_users_cannot_read_the_state(tmp_path: Path) -> None:
    """Everything a command leaves, under umask 000 → folders 0700; keys, locks and logs 0600."""
    home = context.home()
    names = home.sandbox("demo")
    before = os.umask(0)
    try:
        run("list", cwd=tmp_path)
        Keystore(names.keys).authority([DOMAIN], now=NOW)
        files.make_private_dir(names.folder)
        files.write_atomic(names.kubeconfig, b"token", mode=0o600)
        with sandbox_lock.take(home.lock("demo"), "x", seconds=1, waits=lambda _: None):
            pass
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (home.state, *home.state.rglob("*"))}
    for path, mode in modes.items():
        if path.suffix != ".crt":  # certificates are public, though no other user gets there
            assert mode == (0o700 if path.is_dir() else 0o600), path
