"""The variables of a compose file: what its `.env` and `env_file` give, and texts in which they are filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sandbox.config import text_file
from sandbox.config.yaml_text import Replacing
from sandbox.init.compose.merge import listed
from sandbox.init.project_folders import has

# A variable as far as its operator; what follows that, up to its own brace, may have variables too.
_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<plain>[A-Za-z_]\w*)|\{(?P<name>[A-Za-z_]\w*)(?:(?P<operator>:?[-+?])|(?=\})))"
)
_BRACE = re.compile(r"[{}]")  # of a default in JSON, too
DEEPEST = 16  # variables in defaults of others
# A variable in a file of them (compose-go, dotenv/parser.go); a value in quotes may be of several lines.
_LINE = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?(?P<key>[\w.-]+)[ \t]*(?P<set>[=:][ \t]*+(?:'(?P<single>(?:[^'\\]|\\[\s\S])*)'|"""
    r""""(?P<double>(?:[^"\\]|\\[\s\S])*)"|(?P<plain>(?!['"])(?:(?![ ]\#)[^\n])*+)))?"""
    r"""[ \t\r]*(?:(?<=[ \t'"])\#[^\n]*)?$""",
    re.MULTILINE,
)
# In double quotes.
_ESCAPED = re.compile(r"""\\([abfnrtv$"\\])""")
ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "$": "$$"}
Variables = dict[str, str | None]


def filled(content: Any, known: Mapping[str, str | None]) -> Any:
    """Return the content with the variables that have a value or a default (Compose Specification, interpolation).

    The other ones stay as they are written, and so does `$$`, which stands for a dollar sign.
    """
    match content:
        case str():
            return _filled(content, known)
        case list():
            return [filled(one, known) for one in content]
        case dict():
            return {key: filled(one, known) for key, one in content.items()}
        case Replacing(value):
            return Replacing(filled(value, known))
        case _:
            return content


def emptied(text: str) -> tuple[str, list[str]]:
    """Return the text with its variables empty, as compose has it where a shell does not set them, and their names."""
    names = sorted({name for one in _VARIABLE.finditer(text) if (name := one["plain"] or one["name"])})
    return _filled(text, dict.fromkeys(names, "")), names


def _filled(text: str, known: Mapping[str, str | None], depth: int = DEEPEST) -> str:
    parts, at = [], 0
    while depth and (match := _VARIABLE.search(text, at)):
        end = _end(text, match.end()) if match["name"] else match.end()
        if end is None:  # compose refuses the file
            break
        found, operator = known.get(match["plain"] or match["name"] or ""), match["operator"] or ""
        if operator.startswith(":"):
            found = found or None
        if operator.endswith("-" if found is None else "+"):
            value = _filled(text[match.end() : end - 1], known, depth - 1)
        elif operator.endswith("+"):
            value = ""
        else:
            value = text[match.start() : end] if found is None else found.replace("$", "$$")
        parts += [text[at : match.start()], value]
        at = end
    return "".join((*parts, text[at:]))


def _end(text: str, start: int) -> int | None:
    """Return the place after the brace that ends the variable whose other parts begin at `start`."""
    depth = 1
    for brace in _BRACE.finditer(text, start):
        depth += 1 if brace[0] == "{" else -1
        if not depth:
            return brace.end()
    return None


def of_files(
    given: Any, folder: Path, known: Mapping[str, str | None] = MappingProxyType({}), root: Path | None = None
) -> Variables:
    """Return the variables of those of the files in `folder` that are in the project; None for what only the shell has.

    A line with a name alone takes the value from those that are `known`, which also go before those of the files where
    a value names others, and from the shell. The project is the folder, or the `root` above it.
    """
    found: Variables = {}
    said = {key: value for key, value in known.items() if value is not None}
    for one in listed(given):
        path, form = (one.get("path"), one.get("format")) if isinstance(one, dict) else (one, None)
        if not _is_there(path, folder, root):
            continue
        if form == "raw":
            found |= _raw(text_file.read(folder / str(path)), known)
        else:
            for match in _LINE.finditer(text_file.read(folder / str(path))):
                key = match["key"]
                if match["set"]:
                    found[key] = _value(match, {**found, **said})
                else:
                    found.setdefault(key, known.get(key))
    return found


def _raw(text: str, known: Mapping[str, str | None]) -> Variables:
    """Return the variables of a file whose values are as they are written, with quotes and dollar signs."""
    lines = (line.lstrip() for line in text.splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {key: value if equals else known.get(key) for key, equals, value in pairs}


def absent(given: Any, folder: Path, root: Path | None = None) -> Iterator[str]:
    """Yield the paths of those that are not, and that compose cannot do without."""
    for one in listed(given):
        path = one.get("path") if isinstance(one, dict) else one
        if not _is_there(path, folder, root) and not (isinstance(one, dict) and one.get("required") is False):
            yield str(path)


def _is_there(path: Any, folder: Path, root: Path | None) -> bool:
    return isinstance(path, str) and has(root or folder, folder / path)


def _value(match: re.Match[str], known: Mapping[str, str | None]) -> str | None:
    """Return the value of a line of such a file (docs.docker.com, Env file syntax)."""
    if (literal := match["single"]) is not None:
        return literal.replace("\\'", "'")
    text = match["double"]
    text = match["plain"].rstrip() if text is None else _ESCAPED.sub(lambda one: ESCAPES.get(one[1], one[1]), text)
    return whole(filled(text, known))


def whole(text: str) -> str | None:
    """Return the text unless a variable in it has no value."""
    return None if "$" in text.replace("$$", "") else text.replace("$$", "$")
