"""YAML as kubectl understands it: what looks like a date is text, since JSON, which it becomes, knows no dates.

It is read by libyaml, which most builds of PyYAML have and which takes a tenth of the time.
"""

from __future__ import annotations

from typing import Any

import yaml

_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Safe):  # type: ignore[misc]  # either is a safe loader
    """PyYAML's safe loader without its timestamps."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def documents(text: str | bytes) -> list[Any]:
    """Every document of a stream; raises yaml.YAMLError."""
    return list(yaml.load_all(text, _Loader))


def document(text: str | bytes) -> Any:
    """The only document of `text`, None when it is empty; raises yaml.YAMLError."""
    return yaml.load(text, _Loader)  # noqa: S506  # a safe loader
