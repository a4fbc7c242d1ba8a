"""Reads from a Dockerfile what can be known without building it."""

from __future__ import annotations

import re

_STAGE = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)
_COPIES = re.compile(r"^\s*(?:COPY|ADD)\s+(?:--(?!from)\S+\s+)*\./?\s", re.IGNORECASE)
_EXPOSE = re.compile(r"^\s*EXPOSE\s+(\d{1,5})(?:/tcp)?\b", re.IGNORECASE | re.MULTILINE)


def port(text: str) -> int | None:
    """Return the first TCP port that it exposes, if any (Dockerfile reference, EXPOSE)."""
    found = _EXPOSE.search(text)
    return int(found[1]) if found and 0 < int(found[1]) < 65536 else None


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
