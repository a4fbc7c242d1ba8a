"""Questions to a container: many are asked by one command, and what has no answer by it is asked by itself."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pytest

from sandbox.engine import Engine, questions
from sandbox.engine.questions import Question, read_answers
from sandbox.errors import SandboxError

ECHO, FAIL = ("printf", "a b\n"), ("sh", "-c", "echo no >&2; exit 3")


class Local(Engine):
    """An engine whose containers are this machine; `asked` is what each command or file was asked by."""

    def __init__(self, program: str = "") -> None:
        super().__init__(None)
        self.asked: list[str] = []
        self.program = program

    def execute(self, name: str, argv: Sequence[str]) -> tuple[int, str]:
        self.asked.append(argv[0])
        done = subprocess.run(
            [self.program or argv[0], *argv[1:]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return done.returncode, done.stdout

    def _read(self, name: str, path: PurePosixPath) -> bytes | None:
        self.asked.append(str(path))
        return None


@pytest.fixture
def files(tmp_path: Path) -> list[PurePosixPath]:
    (tmp_path / "file").write_bytes(b"\0\xff\n")
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to("file")
    return [PurePosixPath(tmp_path, name) for name in ("file", "empty", "link", "none", "")]


def test_all_questions_of_a_glance_are_one_command(files: list[PurePosixPath]) -> None:
    """Commands and files, told before → one command answers all, as each would be answered by itself."""
    engine = Local()
    wanted: list[Question] = [ECHO, FAIL, *files]
    with engine.glance():
        engine.gather("node", lambda: wanted)
        said = [engine.query("node", ECHO), engine.query("node", FAIL), engine.query("node", ECHO)]
        read = [engine.read_file("node", path) for path in files]
    assert said == [(0, "a b\n"), (3, "no\n"), (0, "a b\n")]
    assert read == [b"\0\xff\n", b"", None, None, None]
    assert engine.asked == ["bash"]


def test_questions_not_announced_are_asked_by_themselves(files: list[PurePosixPath]) -> None:
    engine = Local()
    with engine.glance():
        engine.gather("node", lambda: [ECHO])
        assert engine.query("node", FAIL) == (3, "no\n")
        assert engine.query("other", ECHO) == (0, "a b\n")
        engine.read_file("node", files[0])
    assert engine.asked == ["bash", "sh", "printf", str(files[0])]


def test_question_that_takes_long_keeps_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "PATIENCE", 0.05)
    engine = Local()
    with engine.glance():
        engine.gather("node", lambda: [ECHO, FAIL, ("sleep", "2")])
        assert engine.query("node", ECHO) == (0, "a b\n")
        monkeypatch.setattr(questions, "PATIENCE", 60.0)
        assert engine.query("node", FAIL) == (3, "no\n")
    assert engine.asked == ["bash", "printf", "sh"]


def test_answers_end_with_the_glance() -> None:
    engine = Local()
    engine.gather("node", lambda: [ECHO])
    for _ in range(2):
        engine.query("node", ECHO)
    assert engine.asked == ["printf", "printf"]


@pytest.mark.parametrize("program", ["false", "true", "echo"])
def test_without_answers_each_question_is_asked(program: str, files: list[PurePosixPath]) -> None:
    """A container without bash, or one that says something else → what each command says is what counts."""
    engine = Local(program)
    with engine.glance():
        engine.gather("node", lambda: [ECHO, files[0]])
        engine.query("node", ECHO)
        engine.read_file("node", files[0])
    assert engine.asked == ["bash", "printf", str(files[0])]


def test_error_before_the_command_leaves_questions_to_be_asked() -> None:
    def fail() -> Sequence[Question]:
        raise SandboxError("nothing answers")

    engine = Local()
    with engine.glance():
        engine.gather("node", fail)
        assert engine.query("node", ECHO) == (0, "a b\n")
    assert engine.asked == ["printf"]


def test_broken_archive_is_no_answer() -> None:
    path = PurePosixPath("/a")
    assert read_answers("YQ== 0\nYQ== 0\n", [ECHO], [path]) == {}
    assert read_answers("YQ== 0\n 2\n", [ECHO], [path]) == {ECHO: (0, b"a")}


def test_several_questions_outside_a_glance_are_one_command(files: list[PurePosixPath]) -> None:
    engine = Local()
    answers = engine.ask("node", (FAIL, files[0], files[3], FAIL))
    assert answers == {FAIL: (3, b"no\n"), files[0]: (0, b"\0\xff\n"), files[3]: (1, b"")}
    assert engine.asked == ["bash"]


def test_several_questions_in_a_glance_have_its_answers(files: list[PurePosixPath]) -> None:
    engine = Local()
    with engine.glance():
        engine.gather("node", lambda: (ECHO, files[0]))
        assert engine.ask("node", (ECHO, files[0])) == {ECHO: (0, b"a b\n"), files[0]: (0, b"\0\xff\n")}
    assert engine.asked == ["bash"]


def test_several_questions_without_bash_are_asked_one_by_one(files: list[PurePosixPath]) -> None:
    engine = Local("false")
    assert engine.ask("node", (ECHO, files[0])) == {ECHO: (1, b""), files[0]: (1, b"")}
    assert engine.asked == ["bash", "printf", str(files[0])]


def test_files_that_are_all_absent_are_one_command_too(tmp_path: Path) -> None:
    engine, absent = Local(), PurePosixPath(tmp_path, "absent")
    assert engine.ask("node", (absent,)) == {absent: (1, b"")}
    assert engine.asked == ["bash"]
