"""Reads from a Dockerfile what can be known without building it."""

from __future__ import annotations

import re

_EXPOSE = re.compile(r"^\s*EXPOSE\s+(\d{1,5})(?:/tcp)?\b", re.IGNORECASE | re.MULTILINE)


def port(text: str) -> int | None:
    """Return the first TCP port that it exposes, if it says one (Dockerfile reference, EXPOSE)."""
    found = _EXPOSE.search(text)
    return int(found[1]) if found and 0 < int(found[1]) < 65536 else None
