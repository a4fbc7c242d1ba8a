"""JSON that others wrote: an answer, a file, a program's output."""

from __future__ import annotations

import json
from typing import Any


def document(text: str | bytes) -> Any:
    """Return the content. Raises ValueError for all that is none, and for what nests deeper than Python reads."""
    try:
        return json.loads(text)
    except RecursionError:
        raise json.JSONDecodeError("it is nested too deeply", "", 0) from None
