"""The variables of a compose file: what its `.env` and `env_file` give, and texts in which they are filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox.config import text_file
from sandbox.init.compose_files import listed
from sandbox.init.detected import is_inside
from sandbox.system.files import is_file

_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<plain>[A-Za-z_]\w*)|\{(?P<name>[A-Za-z_]\w*)(?:(?P<operator>:?[-+?])(?P<other>[^}]*))?\})"
)
# A line of a file of variables, without blanks around it.
_LINE = re.compile(
    r"""(?:export\s+)?(?P<key>[\w.-]+)\s*=\s*"""
    r"""(?:'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)"|(?P<plain>(?!['"]).*?))(?:(?<=[\s=])\#.*|\s+\#.*)?"""
)
_ESCAPED = re.compile(r"\\(.)")
ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def filled(content: Any, known: Mapping[str, str | None]) -> Any:
    """Return the content with the variables that have a value or a default (Compose Specification, interpolation)."""

    def value(match: re.Match[str]) -> str:
        if match["escaped"]:
            return match[0]
        found, operator = known.get(match["plain"] or match["name"]), match["operator"] or ""
        if operator.startswith(":"):
            found = found or None
        if operator.endswith("+"):
            return "" if found is None else match["other"]
        default = match["other"] if operator.endswith("-") else match[0]
        return default if found is None else found

    match content:
        case str():
            return _VARIABLE.sub(value, content)
        case list():
            return [filled(one, known) for one in content]
        case dict():
            return {key: filled(one, known) for key, one in content.items()}
        case _:
            return content


def of_files(given: Any, folder: Path) -> dict[str, str | None]:
    """Return the variables of those of the files that are in the project; None for what only the shell has."""
    found: dict[str, str | None] = {}
    for one in listed(given):
        path = one.get("path") if isinstance(one, dict) else one
        if isinstance(path, str) and is_file(folder / path) and is_inside(folder, folder / path):
            for line in text_file.read(folder / path).splitlines():
                if match := _LINE.fullmatch(line.strip()):
                    found[match["key"]] = _value(match, found)
    return found


def _value(match: re.Match[str], known: Mapping[str, str | None]) -> str | None:
    """Return the value of a line of such a file (docs.docker.com, Env file syntax)."""
    if (literal := match["single"]) is not None:
        return literal
    text = match["double"]
    text = match["plain"] if text is None else _ESCAPED.sub(lambda each: ESCAPES.get(each[1], each[1]), text)
    return whole(filled(text, known))


def whole(text: str) -> str | None:
    """Return the text unless a variable in it has no value."""
    return None if "$" in text.replace("$$", "") else text.replace("$$", "$")
