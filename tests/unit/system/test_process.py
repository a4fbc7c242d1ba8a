"""Programs are run to their end, and when they do not come to it they are ended, children and all."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.errors import MissingTool, SandboxError
from sandbox.system import interruption
from sandbox.system.process import ToolFailed, detach, end_all, last_lines, run, run_at_terminal, serving
from sandbox.system.wait import wait_until

LONG = 60.0


def sh(script: str, **more: object) -> str:
    return run(["sh", "-c", script], **{"timeout": LONG, **more})  # type: ignore[arg-type]


@contextmanager
def witness(folder: Path) -> Iterator[Path]:
    """Yield a named pipe for programs to hold open; return when all of them have ended."""
    pipe = folder / "alive"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    yield pipe
    os.set_blocking(reader, True)
    while os.read(reader, 1):
        pass
    os.close(reader)


def test_both_streams_are_returned_unless_errors_are_kept_aside() -> None:
    assert sh("echo one; echo two >&2; echo three") == "one\ntwo\nthree\n"
    assert sh("echo one; echo two >&2", merged=False) == "one\n"
    with pytest.raises(ToolFailed) as caught:
        sh("echo one; echo two >&2; exit 3", merged=False)
    assert caught.value.output == "one\ntwo\n"


def test_program_gets_our_environment_and_the_given_folder_and_no_input(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OURS", "1")
    script = 'echo "$OURS $THEIRS"; pwd; cat'
    assert sh(script, env={"THEIRS": "2"}, cwd=tmp_path) == f"1 2\n{tmp_path}\n"


@pytest.mark.fault(53)
@pytest.mark.security(12)
def test_output_lines_are_streamed_without_terminal_controls() -> None:
    """A program prints escape sequences, and bytes that are no text → shown without them, and as far as they are."""
    seen: list[str] = []
    output = sh(r"printf '\377one\n\033[31mtwo\033[0m\nthree'", on_line=seen.append)
    assert seen == ["\N{REPLACEMENT CHARACTER}one", "two", "three"]
    assert output == "\N{REPLACEMENT CHARACTER}one\n\x1b[31mtwo\x1b[0m\nthree"


def test_command_with_much_output_ends() -> None:
    assert len(sh("head -c 200000 /dev/zero; head -c 200000 /dev/zero >&2")) == 400_000


def test_failure_has_the_command_and_its_last_lines() -> None:
    with pytest.raises(ToolFailed) as caught:
        sh(r"for n in $(seq 30); do echo line $n; done; printf '\033]0;title\007the \033[1mreason\n\n'; exit 7")
    assert (caught.value.status, caught.value.brief) == (7, "sh failed with status 7")
    lines = caught.value.details.splitlines()
    assert lines[0].startswith("$ sh -c 'for n in")
    assert lines[1:] == [*(f"line {n}" for n in range(17, 31)), "]0;titlethe reason"]
    assert last_lines("a\tb  \n\n\x00c\n", 5) == "a\tb\nc"


def test_missing_folder_is_no_missing_tool(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=f"true cannot be run in {tmp_path}/work") as caught:
        run(["true"], cwd=tmp_path / "work", timeout=LONG)
    assert not isinstance(caught.value, MissingTool) and caught.value.exit_code == 1


@pytest.mark.fault(62)
@pytest.mark.parametrize(
    ("mode", "content", "said"),
    [
        (0o644, "#!/bin/sh\n", "cannot be run"),
        (0o755, "\x7fELF of another machine", "cannot be run"),
        (0o755, None, "is not installed"),
    ],
)
def test_a_program_that_cannot_be_run_is_a_missing_tool(
    tmp_path: Path, mode: int, content: str | None, said: str
) -> None:
    """A program that is not executable or of another machine → "cannot be run"; exit code 4."""
    program = tmp_path / "kind"
    if content is not None:
        program.write_text(content)
        program.chmod(mode)
    with pytest.raises(MissingTool, match=said):
        run([program], timeout=LONG)
    with pytest.raises(MissingTool, match=said):
        run_at_terminal([program])


@pytest.mark.parametrize("watched", [False, True])
def test_timeout_ends_the_group_even_if_it_ignores_sigterm(tmp_path: Path, watched: bool) -> None:
    with witness(tmp_path) as pipe:
        script = f"exec 3>{pipe}; (trap '' TERM; sleep 100) & echo begun; sleep 100"
        with pytest.raises(ToolFailed) as caught:
            sh(script, timeout=0.3, on_line=(lambda line: None) if watched else None)
        assert caught.value.brief == "sh took longer than 0 s"
        assert caught.value.details.endswith("begun")


def test_an_interrupt_in_the_reader_ends_the_program(tmp_path: Path) -> None:
    def interrupted(line: str) -> None:
        raise KeyboardInterrupt

    with witness(tmp_path) as pipe, pytest.raises(KeyboardInterrupt):
        sh(f"exec 3>{pipe}; echo begun; exec sleep 100", on_line=interrupted)


def test_a_stop_that_was_asked_for_ends_programs_in_all_threads() -> None:
    running = threading.Barrier(3)
    ends: list[type[BaseException]] = []

    def work() -> None:
        try:
            sh("echo begun; exec sleep 100", on_line=lambda line: running.wait(LONG) and None)
        except BaseException as error:
            ends.append(type(error))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    running.wait(LONG)
    try:
        interruption.request()
        end_all()
        for thread in threads:
            thread.join(LONG)
        with pytest.raises(interruption.Interrupted):
            run(["true"], timeout=LONG)
    finally:
        interruption.clear()
    assert ends == [interruption.Interrupted] * 2


def test_a_server_runs_for_the_length_of_the_block(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serving(["sh", "-c", "echo $$; exec sleep 100"], log_to=log):
        wait_until(lambda: None if log.read_text() else "silent", what="server", timeout=LONG, pause=0.01)
        os.kill(int(log.read_text()), 0)
    with pytest.raises(ProcessLookupError):
        os.kill(int(log.read_text()), 0)


def test_program_may_prompt_while_its_output_is_kept() -> None:
    child, terminal = pty.fork()
    if child == 0:
        try:
            said = run_at_terminal(["sh", "-c", "echo 'word? ' > /dev/tty; read word < /dev/tty; echo kept $word"])
            os._exit(0 if said == "kept xyzzy\n" else 1)
        finally:
            os._exit(2)
    try:
        while b"word?" not in os.read(terminal, 1000):
            pass
        os.write(terminal, b"xyzzy\n")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        os.close(terminal)


def test_detached_program_inherits_no_open_file(tmp_path: Path) -> None:
    """A script's lock, `( flock 9; sandbox up ) 9>lock`, is not held by what `up` leaves running."""
    log = tmp_path / "log"
    with (tmp_path / "lock").open("w") as lock:
        os.set_inheritable(lock.fileno(), True)
        code = f"import os; os.fstat(1); print(os.path.exists('/dev/fd/{lock.fileno()}'))"
        pid = detach([sys.executable, "-c", code], log_to=log)
    os.waitpid(pid, 0)
    assert log.read_text() == "False\n"


@pytest.mark.fault(68)
def test_program_whose_log_is_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    """A FIFO in the place of the log of a process that outlives the command → an error at once."""
    os.mkfifo(tmp_path / "log")
    with pytest.raises(SandboxError, match="log cannot be written"):
        detach(["/bin/true"], log_to=tmp_path / "log")


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv of util-linux")
def test_bound_program_ends_when_its_command_is_killed(tmp_path: Path) -> None:
    with witness(tmp_path) as pipe:
        words = ["/bin/sh", "-c", f"exec 3>{pipe}; echo begun > {tmp_path}/begun; exec sleep 100"]
        code = f"from sandbox.system.process import run; run({words!r}, timeout=60, bound=True)"
        with subprocess.Popen([sys.executable, "-c", code]) as command:
            begun = tmp_path / "begun"
            wait_until(lambda: None if begun.exists() else "not yet", what="the program", timeout=LONG, pause=0.01)
            command.kill()
