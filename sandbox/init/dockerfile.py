"""Reads from a Dockerfile what can be known without building it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from sandbox.config import json_text, text_file
from sandbox.errors import UsageError
from sandbox.images.dockerfile_instructions import instructions
from sandbox.init.project_folders import has

_FROM = re.compile(r"(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)
_FROM_CONTEXT = re.compile(r"(?:--(?!from)\S+\s+)*(?!--)(\S.*)")
_VALUE = re.compile(r"(?<!\w)(\w++)[= ]['\"]?(\w+)")
_VARIABLE = re.compile(r"\$\{?(\w+)(?::-(\w+))?\}?")
_USER = re.compile(r"([0-9]{1,9})(?::[0-9]{1,9})?", re.ASCII)
_PORT = re.compile(r"(\d{1,5})(?:-\d{1,5})?(?:/tcp)?", re.IGNORECASE | re.ASCII)


def read(folder: Path, file: Path | str = "Dockerfile") -> str:
    """Return the text of one in the folder; empty for none, and for what cannot be read, as its build reports."""
    with suppress(UsageError):
        return text_file.read(folder / file) if has(folder, file) else ""
    return ""


def port(text: str, stage: str | None = None) -> int | None:
    """Return the first TCP port that a stage exposes (Dockerfile reference, EXPOSE), of a range the first.

    Else it is its PORT, which programs read that are told where to listen. Variables have the values that ARG and ENV
    give them.
    """
    values: dict[str, str] = {}
    exposed: list[str] = []
    for name, arguments in _lineage(text, stage):
        if name in ("ARG", "ENV"):
            values |= _VALUE.findall(arguments)
        elif name == "EXPOSE":
            exposed += arguments.split()
    for word in exposed or [values.get("PORT", "")]:
        said = _PORT.fullmatch(_VARIABLE.sub(lambda one: values.get(one[1]) or one[2] or "", word))
        if said and 0 < int(said[1]) < 65536:
            return int(said[1])
    return None


def user(text: str, stage: str | None = None) -> int | None:
    """Return the number of the user that a stage runs as; None where it is a name, a variable, or the base image's."""
    found = [arguments for name, arguments in _lineage(text, stage) if name == "USER"]
    said = _USER.fullmatch(found[-1].strip()) if found else None
    return int(said[1]) if said else None


def workdir(text: str, stage: str | None = None) -> str | None:
    """Return the folder in which a stage ends, if that is known without its base image and variables."""
    place = posixpath.join("", *(said for name, said in _lineage(text, stage) if name == "WORKDIR"))
    return place if place.startswith("/") and "$" not in place else None


def copies(text: str, stage: str | None, path: str, place: str) -> bool:
    """Tell whether a stage has a path of the context at the place, or may have, where its folder is not known."""
    folder = ""
    for name, arguments in _lineage(text, stage):
        if name == "WORKDIR":
            folder = posixpath.join(folder, arguments)
        for source, target in _copied([(name, arguments)]):
            if PurePosixPath(path).is_relative_to(source):
                there = posixpath.join(folder, target, PurePosixPath(path).relative_to(source))
                if not there.startswith("/") or "$" in there or PurePosixPath(there) == PurePosixPath(place):
                    return True
    return False


def sources(text: str) -> Iterator[str]:
    """Yield the files and folders that it copies from its context, without those named by variables or patterns."""
    return (source for source, _ in _copied(instructions(text)))


def _copied(of: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield files and folders of the context with the place that an instruction copies them to."""
    for name, arguments in of:
        if name in ("ADD", "COPY") and (said := _FROM_CONTEXT.match(arguments)):
            *words, target = _words(said[1])
            for word in words:
                if not set("$*?<") & set(word) and "://" not in word and ".." not in word:
                    yield word.strip("/"), target


def _words(arguments: str) -> list[str]:
    """Return the arguments of an instruction in either of its forms, of which that for names with blanks is JSON."""
    with suppress(ValueError):
        if isinstance(found := json_text.document(arguments), list):
            return list(map(str, found))
    return arguments.split()


def _lineage(text: str, stage: str | None) -> Iterator[tuple[str, str]]:
    """Yield the instructions of a stage, by default the last, after those of the stages that it is made from.

    What comes before all stages is a part of each.
    """
    numbers: dict[str, int] = {}
    stages: list[tuple[int | None, list[tuple[str, str]]]] = [(None, [])]  # each with the number of its base
    for name, arguments in instructions(text):
        if name == "FROM" and (begun := _FROM.match(arguments)):
            stages.append((numbers.get(begun[1].lower(), 0), []))
            numbers |= {begun[2].lower(): len(stages) - 1} if begun[2] else {}
        stages[-1][1].append((name, arguments))
    number = numbers.get(stage.lower()) if stage else len(stages) - 1
    found: list[list[tuple[str, str]]] = []
    while number is not None:
        number, own = stages[number]
        found.append(own)
    for own in reversed(found):
        yield from own
