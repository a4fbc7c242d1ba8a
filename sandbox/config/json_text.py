"""JSON that others wrote: an answer, a file, a program's output."""

import base64
import json
from typing import Any


def document(text: str | bytes) -> Any:
    """Return the content. Raises ValueError for all that is none, and for what nests deeper than Python reads."""
    try:
        return json.loads(text)
    except RecursionError:
        raise json.JSONDecodeError("it is nested too deeply", "", 0) from None


def claims(token: str) -> dict[str, Any]:
    """Return the claims of a token (JWT, RFC 7519, 4.1), which are not verified; empty when it is none."""
    try:
        payload = token.split(".")[1]
        found = document(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
