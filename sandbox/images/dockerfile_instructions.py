"""The instructions of a Dockerfile, each as one line, without comments and the lines of here-documents.

Source: Dockerfile reference, "Format" and "Here-Documents"; moby/buildkit, frontend/dockerfile/parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_INSTRUCTION = re.compile(r"\s*(\w+)\s+(.+)")
_TAKE_DOCUMENTS = ("ADD", "COPY", "ONBUILD", "RUN")
# A text in quotes, or what begins a document outside of one.
_DOCUMENT = re.compile(
    r"""\"(?:[^"\\]|\\.)*(?:"|$)|'[^']*(?:'|$)|(?<!\S)\d*<<(?P<dash>-?)(?P<quote>['"]?)(?P<end>[A-Za-z_][\w.-]*)(?P=quote)"""
)
_GOES_ON = re.compile(r"(?<!\\)\\[ \t]*$")


def instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = iter(text.splitlines())
    for line in filter(_says, lines):
        parts = [line]
        while more := _GOES_ON.search(parts[-1]):
            parts[-1:] = parts[-1][: more.start()], next(filter(_says, lines), "")
        if (match := _INSTRUCTION.match("".join(parts))) is None:
            continue
        name, arguments = match[1].upper(), match[2].rstrip()
        for begun in _DOCUMENT.finditer(arguments) if name in _TAKE_DOCUMENTS else ():
            for body in lines if begun["end"] else ():
                if body.lstrip("\t" if begun["dash"] else "") == begun["end"]:
                    break
        yield name, arguments


def _says(line: str) -> bool:
    """Tell whether a line is not empty and no comment; both may be between the lines of an instruction."""
    return line.strip()[:1] not in ("", "#")
