"""The variables of a compose file: what its `.env` and `env_file` define, and texts in which they are filled in."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.config import text_file
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
    r"""^[ \t]*(?:export[ \t]+)?(?P<key>[\w.-]+)[ \t]*(?P<set>[=:][ \t]*(?![ \t])"""
    r"""(?:'(?P<single>(?:[^'\\]|\\[\s\S])*)'|"(?P<double>(?:[^"\\]|\\[\s\S])*)"|"""
    r"""(?P<plain>(?!['"])(?:(?![ ]\#)[^\n])*)))?"""
    r"""[ \t\r]*(?:(?<=[ \t'"])\#[^\n]*)?$""",
    re.MULTILINE,
)
_ESCAPED = re.compile(r"""\\([abfnrtv$"\\])""")  # in double quotes
ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "$": "$$"}


@dataclass
class Variables:
    """The values of a project's variables; `unset` collects the names that have none, which are empty as in compose."""

    values: dict[str, str] = field(default_factory=dict)
    unset: set[str] = field(default_factory=set)

    def filled(self, content: Any) -> Any:
        """Return the content with its variables replaced (Compose Specification, interpolation)."""
        match content:
            case str():
                return self._filled(content)
            case list():
                return [self.filled(entry) for entry in content]
            case dict():
                return {key: self.filled(value) for key, value in content.items()}
            case _:
                return content

    def _filled(self, text: str, depth: int = DEEPEST) -> str:
        parts, start = [], 0
        while depth and (match := _VARIABLE.search(text, start)):
            end = _end(text, match.end()) if match["name"] else match.end()
            if end is None:  # compose refuses the file
                break
            rest = text[match.end() : end - 1]
            value = "$" if match["escaped"] else self._value(match, rest, depth)
            parts += [text[start : match.start()], value]
            start = end
        return "".join((*parts, text[start:]))

    def _value(self, match: re.Match[str], rest: str, depth: int) -> str:
        name, operator = match["plain"] or match["name"], match["operator"] or ""
        value = self.values.get(name)
        is_set = bool(value) if operator.startswith(":") else value is not None
        if operator.endswith("+"):
            return self._filled(rest, depth - 1) if is_set else ""
        if operator.endswith("-") and not is_set:
            return self._filled(rest, depth - 1)
        if value is None:
            self.unset.add(name)
        return value or ""


def _end(text: str, start: int) -> int | None:
    depth = 1
    for brace in _BRACE.finditer(text, start):
        depth += 1 if brace[0] == "{" else -1
        if not depth:
            return brace.end()
    return None


def of_files(setting: Any, root: Path, variables: Variables) -> dict[str, str | None]:
    """Return the variables of env files in `root`; None for a name without a value, which only the shell has.

    A value may name others of `variables` or of the same files.
    """
    values: dict[str, str | None] = {}
    for entry in listed(setting):
        path = entry.get("path") if isinstance(entry, dict) else entry
        if not isinstance(path, str) or not has(root, path):
            continue
        for match in _LINE.finditer(text_file.read(root / path)):
            if match["set"]:
                own = {key: value for key, value in values.items() if value is not None}
                values[match["key"]] = _text(match, Variables({**own, **variables.values}, variables.unset))
            else:
                values.setdefault(match["key"], variables.values.get(match["key"]))
    return values


def absent(setting: Any, root: Path) -> Iterator[str]:
    for entry in listed(setting):
        path = entry.get("path") if isinstance(entry, dict) else entry
        is_required = not isinstance(entry, dict) or entry.get("required") is not False
        if is_required and not (isinstance(path, str) and has(root, path)):
            yield str(path)


def _text(match: re.Match[str], variables: Variables) -> str:
    # docs.docker.com, Env file syntax
    if (literal := match["single"]) is not None:
        return str(literal).replace("\\'", "'")
    double = match["double"]
    text = match["plain"].rstrip() if double is None else _ESCAPED.sub(lambda one: ESCAPES.get(one[1], one[1]), double)
    return str(variables.filled(text))
