"""Reads from a Dockerfile what can be known without building it."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sandbox.config import text_file
from sandbox.errors import UsageError
from sandbox.images.build_order import instructions
from sandbox.init.project_folders import has

_FROM = re.compile(r"(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)
_FROM_CONTEXT = re.compile(r"(?:--(?!from)\S+\s+)*(?!--)(\S.*)")
_VALUE = re.compile(r"(?<!\w)(\w++)[= ]['\"]?(\w+)")
_VARIABLE = re.compile(r"\$\{?(\w+)(?::-(\w+))?\}?")
_PORT = re.compile(r"(\d{1,5})(?:-\d{1,5})?(?:/tcp)?", re.IGNORECASE | re.ASCII)


def read(folder: Path, file: Path | str = "Dockerfile") -> str:
    """Return the text of a Dockerfile; empty if it is missing or cannot be read, which its build reports."""
    with suppress(UsageError):
        return text_file.read(folder / file) if has(folder, file) else ""
    return ""


def port(text: str, stage: str | None = None) -> int | None:
    """Return the first TCP port that a stage exposes, else the value of its variable PORT.

    Variables have the values that ARG and ENV give them. Source: Dockerfile reference, EXPOSE.
    """
    values: dict[str, str] = {}
    exposed: list[str] = []
    for name, arguments in _lineage(text, stage):
        if name in ("ARG", "ENV"):
            values |= _VALUE.findall(arguments)
        elif name == "EXPOSE":
            exposed += arguments.split()
    for word in exposed or [values.get("PORT", "")]:
        match = _PORT.fullmatch(_VARIABLE.sub(lambda variable: values.get(variable[1]) or variable[2] or "", word))
        if match and 0 < int(match[1]) < 65536:
            return int(match[1])
    return None


def sources(text: str) -> Iterator[str]:
    """Yield the files and folders that it copies from its context, without those named by variables or patterns."""
    for name, arguments in instructions(text):
        if name in ("ADD", "COPY") and (match := _FROM_CONTEXT.match(arguments)):
            for word in _words(match[1])[:-1]:
                if not set("$*?<") & set(word) and "://" not in word and ".." not in word:
                    yield word.strip("/")


def _words(arguments: str) -> list[str]:
    with suppress(ValueError, RecursionError):
        if isinstance(words := json.loads(arguments), list):
            return list(map(str, words))
    return arguments.split()


# The instructions of a stage follow those of the stages that it is made from, and what comes before all stages.
def _lineage(text: str, stage: str | None) -> Iterator[tuple[str, str]]:
    numbers: dict[str, int] = {}
    stages: list[tuple[int | None, list[tuple[str, str]]]] = [(None, [])]  # each with the number of its base
    for name, arguments in instructions(text):
        if name == "FROM" and (match := _FROM.match(arguments)):
            stages.append((numbers.get(match[1].lower(), 0), []))
            numbers |= {match[2].lower(): len(stages) - 1} if match[2] else {}
        stages[-1][1].append((name, arguments))
    number = numbers.get(stage.lower()) if stage else len(stages) - 1
    lineage: list[list[tuple[str, str]]] = []
    while number is not None:
        number, own = stages[number]
        lineage.append(own)
    for own in reversed(lineage):
        yield from own
