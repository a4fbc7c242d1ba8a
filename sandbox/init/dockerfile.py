"""Reads from a Dockerfile what can be known without building it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sandbox.config import text_file
from sandbox.errors import UsageError
from sandbox.images import here_documents
from sandbox.init.project_folders import has

_STAGE = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)
_COPIES = re.compile(r"^\s*(?:COPY|ADD)\s+(?:--(?!from)\S+\s+)*\./?\s", re.IGNORECASE)
# They begin at a line, not at each of many empty ones before it.
_SOURCES = re.compile(r"^[ \t]*(?:COPY|ADD)\s+(?:--(?!from)\S+\s+)*(?!--)(\S.*)", re.IGNORECASE | re.MULTILINE)
_EXPOSE = re.compile(r"^[ \t]*EXPOSE\s+(.+)", re.IGNORECASE | re.MULTILINE)
_VALUES = re.compile(r"^[ \t]*(?:ARG|ENV)\s+(.+)", re.IGNORECASE | re.MULTILINE)
_VALUE = re.compile(r"(?<!\w)(\w++)[= ]['\"]?(\w+)")
_VARIABLE = re.compile(r"\$\{?(\w+)(?::-(\w+))?\}?")
_PORT = re.compile(r"(\d{1,5})(?:-\d{1,5})?(?:/tcp)?", re.IGNORECASE | re.ASCII)


def read(folder: Path, file: Path | str = "Dockerfile") -> str:
    """Return the text of one in the folder, without here-documents.

    Empty for none, and for what cannot be read, as its build reports.
    """
    with suppress(UsageError):
        return here_documents.without(text_file.read(folder / file)) if has(folder, file) else ""
    return ""


def port(text: str) -> int | None:
    """Return the first TCP port that it exposes (Dockerfile reference, EXPOSE), of a range the first; else its PORT.

    Variables have the values that ARG and ENV give them. PORT is what programs read that are told where to listen.
    """
    values = dict(pair for line in _VALUES.finditer(text) for pair in _VALUE.findall(line[1]))
    words = [word for line in _EXPOSE.finditer(text) for word in line[1].split()]
    for word in words or [values.get("PORT", "")]:
        said = _PORT.fullmatch(_VARIABLE.sub(lambda one: values.get(one[1]) or one[2] or "", word))
        if said and 0 < int(said[1]) < 65536:
            return int(said[1])
    return None


def sources(text: str) -> Iterator[str]:
    """Yield the files and folders that it copies from its context, without those named by variables or patterns."""
    for line in _SOURCES.finditer(re.sub(r"\\\r?\n", " ", text)):
        for word in _words(line[1])[:-1]:
            if not set("$*?<") & set(word) and "://" not in word and ".." not in word:
                yield word.strip("/")


def _words(arguments: str) -> list[str]:
    """Return the arguments of an instruction in either of its forms, of which that for names with blanks is JSON."""
    with suppress(ValueError, RecursionError):
        if isinstance(found := json.loads(arguments), list):
            return list(map(str, found))
    return arguments.split()


def workdir(text: str) -> str | None:
    """Return the folder in which its last stage ends, if that says a whole path without variables."""
    last = re.split(r"^\s*FROM\s", text, flags=re.IGNORECASE | re.MULTILINE)[-1]
    said = re.findall(r"^\s*WORKDIR\s+(\S+)\s*$", last, re.IGNORECASE | re.MULTILINE)
    return said[-1] if said and said[-1].startswith("/") and "$" not in said[-1] else None


def copies_context(text: str, stage: str) -> bool:
    """Tell whether the stage, or one that it is made from, has the whole context copied into it."""
    bases: dict[str, str] = {}
    copying: set[str] = set()
    name = ""
    for line in text.splitlines():
        if begun := _STAGE.match(line):
            name = (begun[2] or "").lower()
            bases[name] = begun[1].lower()
        elif _COPIES.match(line):
            copying.add(name)
    seen: set[str] = set()
    wanted = stage.lower()
    while wanted in bases and wanted not in seen:
        if wanted in copying:
            return True
        seen.add(wanted)
        wanted = bases[wanted]
    return False
