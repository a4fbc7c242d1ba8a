"""Engines, homes, disks, state files, locales and streams that are not as they should be."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from operator import methodcaller
from pathlib import Path
from unittest.mock import Mock

import pytest

from sandbox.components.credentials.pod_credentials import PodCredentials
from sandbox.components.edge import container
from sandbox.engine import Engine, connection
from sandbox.engine.base import EngineGone, translated
from sandbox.errors import MissingTool, SandboxError
from sandbox.names import Home
from sandbox.plan import saved_spec
from sandbox.system import daemon, files
from sandbox.system.sandbox_lock import RECORD, Holder
from tests.unit.cli.test_main import Ended, run


def sandbox(*arguments: str, cwd: Path, begin: str = "exec", **environment: str) -> Ended:
    """A whole new process, begun by a shell with `begin` before the command."""
    env = {**os.environ, **environment}
    line = f'{begin} "$0" -m sandbox "$@"'
    argv = ["sh", "-c", line, sys.executable, *arguments]
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, timeout=60, check=False)
    return Ended(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


@pytest.mark.fault(2)
def test_socket_without_permission_is_distinguished(monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket refuses with "Permission denied" → the group to join; never `sudo sandbox`."""

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refused)
    with pytest.raises(MissingTool) as caught:
        Engine.connect()
    assert caught.value.id == "engine-permission" and "group `docker`" in caught.value.fix
    assert "sudo sandbox" not in caught.value.fix


@pytest.mark.fault(3)
def test_engine_that_dies_during_a_call_is_reported_gone() -> None:
    """The engine hangs up during a call → "went away", and that the same command goes on from there."""
    with pytest.raises(EngineGone, match="went away") as caught, translated("listing containers"):
        raise ConnectionResetError
    assert caught.value.id == "engine-failed" and "run the same command again" in caught.value.fix


@pytest.mark.fault(4)
def test_command_ends_when_the_engine_stays_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that takes the call and says nothing, for any command → told after a quarter of a minute."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")
    monkeypatch.setattr(connection, "FIRST_ANSWER", 0.3)
    with closing(socket.socket(socket.AF_UNIX)) as silent:
        silent.bind(str(tmp_path / "engine.sock"))
        silent.listen()
        with pytest.raises(MissingTool) as caught:
            Engine.connect()
    assert caught.value.id == "engine-hangs" and "restart it" in caught.value.fix


@pytest.mark.fault(52)
@pytest.mark.parametrize("place", ["/dev/null/home", "/proc/none"])
def test_a_home_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """The state folder can be made nowhere → what needs none works without a log; what does names it; no traceback."""
    monkeypatch.setenv("XDG_STATE_HOME", place)
    looked = run("list", cwd=tmp_path)
    assert looked.code == 4 and "nothing is logged" in looked.stderr  # 4: no engine, as ever in these tests
    made = run("down", cwd=tmp_path)
    assert made.code == 1 and "error[file]: " in made.stderr and f"{place}/sandbox" in made.stderr
    assert "free space there" in made.stderr and "Traceback" not in looked.stderr + made.stderr


@pytest.mark.fault(52)
def test_without_a_home_it_says_so_and_makes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HOME is not set and the user has no account → "set HOME"; no folder called ~ is left in this one."""
    for name in ("HOME", "XDG_STATE_HOME", "KUBECONFIG"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    ended = run("list", cwd=tmp_path)
    assert ended.code == 2 and ended.stderr.startswith("error[home]: there is no home folder\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.fault(52)
@pytest.mark.security(13)
@pytest.mark.parametrize("words", ["status", "list", "down", "doctor archive", "doctor", "bundle build"])
def test_sudo_leaves_nothing_of_root_s_in_a_user_s_home(
    tmp_path: Path, isolated_home: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    """`sudo sandbox` with the home of the user → refused before any file is made, with the group to join instead."""
    if os.geteuid() == 0:
        os.chown(isolated_home, 12345, 12345)
    monkeypatch.setenv("HOME", str(isolated_home))
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SUDO_UID", "12345")
    monkeypatch.setenv("SUDO_USER", "ann")
    found = run(*words.split(), cwd=tmp_path, before=lambda: setattr(os, "geteuid", lambda: 0))
    assert list(isolated_home.iterdir()) == []
    assert found.code == 2 and "error[home]: sudo would" in found.stderr and "docker ann" in found.stderr
    assert "sudo -H" in found.stderr


@pytest.mark.fault(16)
def test_full_log_disk_does_not_stop_a_command(tmp_path: Path) -> None:
    """No space for the log while a command runs → the command says what it has to say, and nothing of the log."""
    found = sandbox("list", cwd=tmp_path, begin="ulimit -f 0; exec")  # files of the sandbox end at no bytes
    assert "no Docker Engine answers" in found.stderr
    assert "Traceback" not in found.stderr and "Logging error" not in found.stderr


@pytest.mark.fault(53)
@pytest.mark.parametrize("locale", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "latin-1"}])
def test_a_locale_without_unicode_gets_plain_letters(tmp_path: Path, locale: dict[str, str]) -> None:
    """Output that cannot show ✓ → another character in its place; no traceback."""
    found = sandbox("doctor", cwd=tmp_path, **locale)
    assert found.code == 1 and "Traceback" not in found.stderr
    assert "engine.reachable" in found.stdout


@pytest.mark.fault(66)
@pytest.mark.parametrize("end", ["| head -c 1", ">&-", ">/dev/full", "2>&-", ">&- 2>&- <&-"])
def test_closed_output_pipe_is_no_bug(tmp_path: Path, end: str) -> None:
    """Output into `head`, a closed stream or a full device → no traceback, no bug."""
    line = f'"$0" -m sandbox explain {end}; echo done'
    done = subprocess.run(["sh", "-c", line, sys.executable], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr and "bug" not in done.stderr
    assert done.stdout.endswith("done\n")


@pytest.mark.fault(66)
@pytest.mark.parametrize("progress", ["plain", "json"])
def test_work_goes_on_without_a_reader_of_its_progress(tmp_path: Path, progress: str) -> None:
    """`up 2>&1 | head` → the work is done to its end; only its lines are lost."""
    line = (
        "import sys; from sandbox.cli import output; r = output.reporter(sys.argv[1]); "
        "[r.event('finished', 'x' * 200, '', 1.0) for _ in range(1000)]; "
        "output.note(sys.argv[1], 'said'); open('done', 'w')"
    )
    child = subprocess.Popen([sys.executable, "-c", line, progress], cwd=tmp_path, stderr=subprocess.PIPE)
    assert child.stderr is not None
    child.stderr.close()
    child.wait(timeout=60)
    assert (tmp_path / "done").exists()


DAMAGED = {"null": b"null", "list": b'["a"]', "text": b'"a"', "cut": b'{"pid": 1', "zeros": b"\x00" * 80}
HARM: list[Callable[[Path], object]] = [Path.mkdir, *(methodcaller("write_bytes", data) for data in DAMAGED.values())]


@pytest.mark.fault(68)
@pytest.mark.parametrize("harm", HARM, ids=["folder", *DAMAGED])
def test_damaged_state_file_says_nothing_unless_it_must_be_read(place: Home, harm: Callable[[Path], object]) -> None:
    """A folder or other JSON in the place of a state file → as if it was not there; else an error that names it."""
    names = place.sandbox("demo")
    for folder in (names.folder, names.credentials, place.edge):
        files.make_private_dir(folder)
    logins = names.credentials / "logins.json"
    for path in (names.waker, names.folder / RECORD, names.engine, place.edge / container.RECORD, logins):
        harm(path)
    assert daemon.find(names.waker) is None
    assert Holder.read(names.folder) is None
    assert saved_spec.recorded_engine(names) is None
    assert container.loaded_binds(place.edge) == frozenset()
    with pytest.raises(SandboxError, match=r"cannot be read"):
        PodCredentials(Mock(), tuple, names.kubeconfig, names.credentials, {}).logins()
