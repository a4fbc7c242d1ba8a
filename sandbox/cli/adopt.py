"""The offer to use a kind cluster that the user made by hand, and its registry, instead of making others."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click
import yaml

from sandbox.app import existing_clusters
from sandbox.app.context import DEFAULT_FILE
from sandbox.app.existing_clusters import Neighbour
from sandbox.cli import session
from sandbox.config.resolve import Override, changed
from sandbox.config.schema import Spec
from sandbox.engine import Engine
from sandbox.names import Home
from sandbox.system import files


def offer(
    spec: Spec, file: Path | None, home: Home, engine: Engine, *, say: Callable[[str], None], ask: bool
) -> Neighbour | None:
    """The cluster that the user agrees to use, if one is there to be offered; `spec` is as it was written.

    Nothing is offered where the spec says what cluster it wants, or the sandbox is there already. Where nobody can or
    is to be asked, it is only said.
    """
    if spec.says("cluster") or session.remembered(spec.name):
        return None
    found = next(iter(existing_clusters.find(engine, home)), None)
    if found is None:
        return None
    say(f"{_described(found)} on this machine, made by hand")
    lines = yaml.safe_dump(found.spec, default_flow_style=None, sort_keys=False).rstrip()
    if not (ask and sys.stdin.isatty() and sys.stderr.isatty()):
        say(f"  '{spec.name}' gets a cluster of its own; to use that one, write in sandbox.yaml:")
        _show(lines, say)
        return None
    if not click.confirm(f"use {'both' if found.registry else 'it'} for '{spec.name}', in a namespace?", err=True):
        return None
    _keep(spec, lines, file, say)
    return found


def adopted(spec: Spec, found: Neighbour) -> Spec:
    """The spec with that cluster, and with its registry if it has one. Raises UsageError for what it has not."""
    theirs = [Override((part, key), value, "") for part, values in found.spec.items() for key, value in values.items()]
    return changed(spec, theirs, called=f"the spec of '{spec.name}' for {found.context}")


def _keep(spec: Spec, lines: str, file: Path | None, say: Callable[[str], None]) -> None:
    """Write what was decided into a new sandbox.yaml, or say what belongs into the one that is there."""
    if file is None and not DEFAULT_FILE.exists():
        text = f"apiVersion: {spec.apiVersion}\nname: {spec.name}\n{lines}\n"
        files.write_atomic(DEFAULT_FILE.absolute(), text.encode(), mode=0o644)
        say(f"wrote {DEFAULT_FILE}, so that it stays so")
        return
    say(f"write in {file or DEFAULT_FILE}, so that it stays so:")
    _show(lines, say)


def _described(found: Neighbour) -> str:
    registry = f" and its registry {found.registry} are" if found.registry else " is"
    return f"the kind cluster {found.context}{registry}"


def _show(lines: str, say: Callable[[str], None]) -> None:
    for line in lines.splitlines():
        say(f"    {line}")
