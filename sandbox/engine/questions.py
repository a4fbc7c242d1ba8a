"""Questions to a container: commands that change nothing and files, of which a glance may ask many by one command.

To run a command in a container, or to read a file of it, takes an engine a tenth of a second, whatever it is.
"""

from __future__ import annotations

import base64
import io
import tarfile
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import PurePosixPath

from sandbox.engine.base import Seen, once
from sandbox.engine.containers import Containers
from sandbox.errors import SandboxError
from sandbox.system import files

Question = PurePosixPath | tuple[str, ...]
"""A file to be read, or a command that changes nothing."""

Answers = Mapping[Question, tuple[int, bytes]]
"""Exit status and output of commands; 0 and the content of a file, 1 for one that is not there."""

PATIENCE = 5.0  # seconds that a question waits for the answers to all

# Only plain files: a folder or a link in their place is none. tar makes an archive of an empty list, not of no names.
_PACK = """
for path do
  shift
  if [ -f "$path" ] && [ ! -L "$path" ]; then set -- "$@" "$path"; fi
done
exec tar -cPf - --files-from=/dev/null -- "$@" 2>/dev/null
"""


class Questions(Containers):
    """What containers can be asked."""

    def gather(self, name: str, asked: Callable[[], Sequence[Question]]) -> None:
        """Ask a container all that `asked` returns at once, in a thread, for the rest of the glance.

        `query` and `read_file` of this container wait for the answers. What has none, as `asked` did not name it or the
        container does not run, is asked when it is wanted.
        """
        seen = self._seen
        known = seen.gathered.get(name) if seen else None
        if seen is None or (known and not (known.done() and not known.result())):
            return
        questions: Sequence[Question] = ()
        with suppress(SandboxError):
            questions = asked()  # here, for in the thread it would compete with all that begins meanwhile
        self._begin(seen, name, name, questions)

    def gather_known(self, name: str, container: str, questions: Sequence[Question]) -> None:
        """Do the same for questions that are known, if what is called `name` still has the id `container`."""
        if self._seen:
            self._begin(self._seen, name, container, questions)

    def _begin(self, seen: Seen, name: str, container: str, questions: Sequence[Question]) -> None:
        answers: Future[Answers] = Future()
        seen.gathered[name] = answers

        def work() -> None:
            found: Answers = {}
            try:
                with suppress(SandboxError):
                    found = self._answers(container, tuple(dict.fromkeys(questions)))
            finally:
                answers.set_result(found)

        threading.Thread(target=work, name=f"ask {name}", daemon=True).start()

    def questions_asked(self) -> Mapping[str, Collection[Question]]:
        """Return what containers were asked in this glance so far, by their names."""
        asked = tuple(self._seen.questions.items()) if self._seen else ()
        return {name: tuple(questions) for name, questions in asked}

    def ask(self, name: str, questions: Iterable[Question]) -> Answers:
        """Ask a container all these by one command, or each by itself in a glance, which may have the answers."""
        wanted = tuple(dict.fromkeys(questions))
        found = self._answers(name, wanted) if self._seen is None else {}
        return {one: found[one] if one in found else self._answer(name, one) for one in wanted}

    def _answer(self, name: str, question: Question) -> tuple[int, bytes]:
        if isinstance(question, PurePosixPath):
            content = self.read_file(name, question)
            return (1, b"") if content is None else (0, content)
        status, said = self.query(name, question)
        return status, said.encode()

    @once
    def query(self, name: str, argv: tuple[str, ...]) -> tuple[int, str]:
        """Run a command that changes nothing in a container: its exit status and its output. A glance runs it once."""
        answer = self._gathered(name, argv)
        return (answer[0], answer[1].decode(errors="replace")) if answer else self.execute(name, argv)

    @once
    def read_file(self, name: str, path: PurePosixPath) -> bytes | None:
        """Return the content of a file in a container; None when there is none, or a folder or a link in its place."""
        answer = self._gathered(name, path)
        if answer:
            return None if answer[0] else answer[1]
        return self._read(name, path)

    def _gathered(self, name: str, question: Question) -> tuple[int, bytes] | None:
        seen = self._seen
        if seen is None:
            return None
        seen.questions.setdefault(name, {})[question] = None
        answers = seen.gathered.get(name)
        try:
            return answers.result(PATIENCE).get(question) if answers else None
        except TimeoutError:  # one of the others takes long, and is not waited for again
            seen.gathered.pop(name, None)
            return None

    def _answers(self, name: str, questions: Sequence[Question]) -> Answers:
        paths = [one for one in questions if isinstance(one, PurePosixPath)]
        commands = [one for one in questions if not isinstance(one, PurePosixPath)]
        asked = [*commands, *([("sh", "-c", _PACK, "pack", *map(str, paths))] if paths else ())]
        if not asked:
            return {}
        words = (word for command in asked for word in (str(len(command)), *command))
        _, output = self.execute(name, ["bash", "-c", files.packaged(__package__, "scripts/answers.sh"), "ask", *words])
        return read_answers(output, commands, paths)


def read_answers(output: str, commands: Sequence[tuple[str, ...]], paths: Sequence[PurePosixPath]) -> Answers:
    """Return what the script's output says; nothing where it is not what it should be."""
    lines = [line.rpartition(" ") for line in output.splitlines()]
    try:
        said = [(int(status), base64.b64decode(text, validate=True)) for text, _, status in lines]
        found: dict[Question, tuple[int, bytes]] = dict(zip(commands, said, strict=False))
        if len(said) > len(commands) and said[-1][0] == 0:
            found |= dict.fromkeys(paths, (1, b""))
            found |= _unpacked(said[-1][1])
    except (ValueError, tarfile.TarError):  # no bash there, or it was ended
        return {}
    return found


def _unpacked(data: bytes) -> dict[Question, tuple[int, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        members = ((one.name, tar.extractfile(one)) for one in tar)
        return {PurePosixPath("/", name): (0, content.read()) for name, content in members if content}
