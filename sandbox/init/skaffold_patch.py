"""Does what a JSON patch (RFC 6902) of a skaffold profile says to the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.errors import UsageError

END = "-"  # of an array


def patched(config: dict[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration as the patch changes it: by add, remove or replace, which is what no `op` means.

    Raises UsageError for one of another kind, and for a path that the configuration lacks.
    """
    how, path = str(patch.get("op") or "replace"), str(patch.get("path"))
    if how not in ("add", "remove", "replace") or not path.startswith("/"):
        raise UsageError(f"{how} {path} is no such change here")
    steps = [one.replace("~1", "/").replace("~0", "~") for one in path[1:].split("/")]
    try:
        changed: dict[str, Any] = _changed(config, steps, how, patch.get("value"))
    except (LookupError, TypeError, ValueError):
        raise UsageError(f"{path} is not in it") from None
    return changed


def _changed(content: Any, steps: list[str], how: str, value: Any) -> Any:
    """Return the content, changed at the end of the steps. Raises LookupError, TypeError and ValueError."""
    step, *further = steps
    at = _place(content, step, adding=how == "add" and not further)
    if further:
        value, how = _changed(content[at], further, how, value), "replace"
    if isinstance(content, list):
        rest = content[at:] if how == "add" else content[at + 1 :]
        return [*content[:at], *([] if how == "remove" else [value]), *rest]
    if how == "remove":
        return {key: one for key, one in content.items() if key != at}
    return {**content, at: value}


def _place(content: Any, step: str, *, adding: bool) -> Any:
    """Return the key or number of a part of the content, which may be a new one for `adding`."""
    if isinstance(content, list):
        at = len(content) if adding and step == END else int(step)
        if not 0 <= at < len(content) + adding:
            raise IndexError(step)
        return at
    if not adding:
        content[step]
    return step
