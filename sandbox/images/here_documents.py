"""The here-documents of a Dockerfile, whose lines are a program's or a file's and no instructions.

Source: Dockerfile reference, "Here-Documents"; moby/buildkit, frontend/dockerfile/parser.
"""

from __future__ import annotations

import re

_TAKES = re.compile(r"\s*(?:ONBUILD\s+)?(?:RUN|COPY|ADD)\s", re.IGNORECASE)
_BEGINS = re.compile(r"(?<!\S)\d*<<(-?)(['\"]?)([A-Za-z_][\w.-]*)\2")


def without(text: str) -> str:
    """Return the text of a Dockerfile without the lines of here-documents."""
    kept: list[str] = []
    ends: list[tuple[str, str]] = []  # of the documents that an instruction has begun: the word, and what is cut before
    is_body, continues, takes = False, False, False
    for line in text.splitlines():
        if is_body:
            word, cut = ends[0]
            if line.lstrip(cut) == word:
                ends.pop(0)
                is_body = bool(ends)
            continue
        kept.append(line)
        takes = takes if continues else _TAKES.match(line) is not None
        if takes:
            ends += [(word, "\t" if dash else "") for dash, _, word in _BEGINS.findall(line)]
        continues = line.rstrip().endswith("\\")
        is_body = bool(ends) and not continues
    return "\n".join(kept) + "\n"
