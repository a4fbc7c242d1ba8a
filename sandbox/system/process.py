"""The only door to other programs: argv lists, no shell, everything logged, failures with the program's own output."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sandbox.errors import MissingTool, SandboxError
from sandbox.sanitize import fit
from sandbox.system import files, interruption

if TYPE_CHECKING:
    import asyncio

log = logging.getLogger(__name__)

Argv = Sequence[str | os.PathLike[str]]

PATIENCE = 3.0  # seconds that a program gets to end by SIGTERM, before it is killed
_running: set[subprocess.Popen[str]] = set()


class ToolFailed(SandboxError):
    """A program ended with a non-zero status or took too long; `details` holds the last lines of its `output`."""

    id = "tool-failed"

    def __init__(self, brief: str, *, details: str = "", status: int | None = None, output: str = "") -> None:
        super().__init__(brief, details=details)
        self.status = status
        self.output = output


def which(name: str, *, extra: Sequence[Path] = ()) -> Path | None:
    path = shutil.which(name) or shutil.which(name, path=os.pathsep.join(map(str, extra)))
    return Path(path) if path else None


def require_version(argv: Argv, oldest: tuple[int, int, int], *, fix: str) -> str:
    """Return a program's version, by the command that prints it. Raises MissingTool if it is older than `oldest`."""
    output = run(argv, timeout=20)
    match = re.search(r"\bv?(\d+)\.(\d+)\.(\d+)", output)
    if match is None or tuple(map(int, match.groups())) < oldest:
        program = Path(argv[0])
        raise MissingTool(f"{program.name} is too old: {last_lines(output, 1)}", details=f"found at {program}", fix=fix)
    return match[0]


def run(
    argv: Argv,
    *,
    timeout: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
    merged: bool = True,
    nice: bool = False,
    bound: bool = False,
) -> str:
    """Run a program to its end and return its standard output and error, merged as they came.

    Not `merged`, only its standard output is returned, and its standard error is in the exception when it fails. `env`
    is added to our own environment; `timeout` is in seconds; `on_line` gets each line as it comes; with `nice` it runs
    at a lower priority; one that is `bound`, and named by its path, ends if we are killed. The program gets a process
    group of its own, so that an interrupt typed at the terminal reaches only us and the program is ended by us, once.
    Raises MissingTool when there is no such program, ToolFailed when it fails, and SandboxError without `cwd`.
    """
    interruption.check()
    typed = _logged("run", argv)
    words = [*(("nice",) if nice else ()), *typed]
    if bound and shutil.which("setpriv"):  # of util-linux
        words = [*words[: -len(typed)], "setpriv", "--pdeathsig", "TERM", *typed]
    with contextlib.ExitStack() as stack:
        aside = None if merged else stack.enter_context(tempfile.TemporaryFile())
        try:
            child = subprocess.Popen(
                words,
                cwd=cwd,
                env={**os.environ, **env} if env else None,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=aside or subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
                encoding="utf-8",
            )
        except OSError as error:
            if cwd is not None and error.filename == cwd:
                raise files.refused(f"{words[0]} cannot be run in {cwd}", error) from error
            raise _missing(words, error) from error
        output, expired = _awaited(child, timeout, on_line)
        interruption.check()
        log.debug("exit %s: %s", child.returncode, typed[0])
        if child.returncode == 0 and not expired:
            return output
        if aside:
            aside.seek(0)
            output += aside.read().decode(errors="replace")
    raise _failed(typed, child.returncode, output, f"took longer than {timeout:.0f} s" if expired else "")


def _logged(doing: str, argv: Argv) -> list[str]:
    words = [os.fspath(word) for word in argv]
    log.debug("%s: %s", doing, shlex.join(words))
    return words


def _awaited(child: subprocess.Popen[str], timeout: float, on_line: Callable[[str], None] | None) -> tuple[str, bool]:
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        _end(child)

    timer = threading.Timer(timeout, expire)  # in a thread of its own, because reading the output blocks
    timer.daemon = True
    timer.start()
    _running.add(child)
    lines: list[str] = []
    try:
        interruption.check()  # a stop ends only the programs that it finds in the list
        for line in child.stdout or ():
            if on_line:
                log.debug("  %s", line.rstrip())
                on_line(fit(line.rstrip()))
            lines.append(line)
        child.wait()
    except BaseException:
        _end(child)
        raise
    finally:
        _running.discard(child)
        timer.cancel()
        if child.stdout:
            child.stdout.close()
    return "".join(lines), expired.is_set()


def _missing(words: Sequence[str], error: OSError) -> MissingTool:
    if isinstance(error, FileNotFoundError):
        return MissingTool(f"{words[0]} is not installed", details=shlex.join(words))
    return MissingTool(f"{words[0]} cannot be run", details=str(error))


def _failed(words: Sequence[str], status: int, output: str, reason: str = "") -> ToolFailed:
    return ToolFailed(
        f"{Path(words[0]).name} {reason or f'failed with status {status}'}",
        details=f"$ {shlex.join(words)}\n{last_lines(output)}",
        status=status,
        output=output,
    )


def run_at_terminal(argv: Argv) -> str:
    """Run a program that may ask the user at the terminal, as sudo does for a password; otherwise like `run`.

    It stays in our session and group, without which it could not ask, and has no timeout. Raises MissingTool and
    ToolFailed.
    """
    interruption.check()
    words = _logged("run at the terminal", argv)
    try:
        child = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", encoding="utf-8"
        )
    except OSError as error:
        raise _missing(words, error) from error
    with child:
        try:
            output = child.communicate()[0]
        except BaseException:
            with contextlib.suppress(PermissionError):  # it belongs to root; the terminal has signalled it as well
                child.terminate()
            raise
    if child.returncode != 0:
        raise _failed(words, child.returncode, output)
    return output


def end_all() -> None:
    """End every program that `run` is waiting for in any thread, because the command was interrupted."""
    for child in list(_running):
        _end(child)


def kill_all() -> None:
    """Kill those programs without waiting, since the command ends at once."""
    for child in list(_running):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


@contextmanager
def serving(argv: Argv, *, log_to: Path) -> Iterator[None]:
    """Run a program for the length of the block, its output in the file `log_to`, and end it afterwards."""
    words = _logged("serve", argv)
    with log_to.open("w", encoding="utf-8") as output:
        child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
        try:
            yield
        finally:
            _end(child)


def detach(argv: Argv, *, log_to: Path) -> int:
    """Start a program that outlives us in a session of its own, its output added to a file; return its process id.

    Raises MissingTool when it cannot be started, and SandboxError without the log.
    """
    words = _logged("detach", argv)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK  # the last so that no FIFO is waited for
    try:
        output = os.open(log_to, flags, 0o600)
    except OSError as error:
        raise files.refused(f"{log_to} cannot be written", error) from error
    try:
        # Popen closes all other files, or a script's lock or pipe would stay held.
        child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
    except OSError as error:
        raise _missing(words, error) from error
    finally:
        os.close(output)
    child.returncode = 0  # or Python warns that it still runs
    return child.pid


@asynccontextmanager
async def attend(argv: Argv) -> AsyncIterator[asyncio.StreamReader]:
    """Run a program for the length of the block, which reads its lines, and end its whole group afterwards."""
    import asyncio

    words = _logged("attend", argv)
    try:
        child = await asyncio.create_subprocess_exec(
            *words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
    except OSError as error:
        raise _missing(words, error) from error
    try:
        yield cast("asyncio.StreamReader", child.stdout)  # it is piped
    finally:
        for number, patience in ((signal.SIGTERM, PATIENCE), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):  # it has ended, and the event loop has not noticed yet
                os.killpg(child.pid, number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):  # not wait_for, which before Python 3.12 may lose a cancellation
                    await child.wait()


def last_lines(text: str, count: int = 15) -> str:
    """Return the last `count` lines of a program's output, without control characters that could act on a terminal."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(map(fit, lines[-count:]))


def _end(child: subprocess.Popen[Any]) -> None:
    # The second signal even if the program itself has ended: its children may remain, and keep its output open.
    for number, patience in ((signal.SIGTERM, PATIENCE), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(child.pid, number)
            child.wait(patience)
