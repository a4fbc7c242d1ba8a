"""`sandbox config show`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from sandbox.app.context import DEFAULT_FILE
from sandbox.cli.options import written
from sandbox.config.yaml_source import KeyPath, read

# The account in a URL, as a proxy's may have one.
_SECRET = re.compile(r"(://)[^/@]+@")


def run(file: Path | None, name: str | None, *, output: str) -> int:
    """Show the spec with all its defaults, and where each value is from."""
    spec = written(file, name).model_dump(mode="json")
    source = file or (DEFAULT_FILE if name is None and DEFAULT_FILE.exists() else None)
    lines = {path: place.line for path, place in read(source.read_text("utf-8-sig")).places.items()} if source else {}
    rows = [(path, value, f"{source}:{lines[path]}" if path in lines else "default") for path, value in _leaves(spec)]
    if source and ("name",) not in lines:
        rows = [(path, value, "its folder" if path == ("name",) else origin) for path, value, origin in rows]
    if name and source is None:
        rows = [(path, value, "command line" if path == ("name",) else origin) for path, value, origin in rows]
    if output == "json":
        click.echo(json.dumps([{"key": _dotted(p), "value": v, "origin": o} for p, v, o in rows], indent=2))
        return 0
    for path, value, origin in rows:
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        click.echo(f"{_dotted(path):<24} {shown:<40} {click.style(origin, dim=True)}")
    return 0


def _leaves(value: Mapping[str, Any], path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Every value that is no mapping of known keys, by its path."""
    for key, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            yield from _leaves(inner, (*path, key))
        else:
            yield (*path, key), _SECRET.sub(r"\1***@", inner) if isinstance(inner, str) else inner


def _dotted(path: KeyPath) -> str:
    return ".".join(map(str, path))
