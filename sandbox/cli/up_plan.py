"""What `up` would do, shown without doing it: what is made, repaired and rebuilt, why, and what would be lost."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection
from typing import Any

import click

from sandbox.plan.lifecycle import Found
from sandbox.step import State

VERBS = {State.ABSENT: "make", State.DRIFTED: "repair", State.STALE: "rebuild", State.UNSEEN: "look at"}


def show(name: str, found: Found, recreate: Collection[str], output: str) -> bool:
    """Print the plan on stdout; returns whether there is anything to do."""
    rows = [
        {"step": step.name, "title": step.title, "action": VERBS[s.state], "detail": s.detail, "loses": s.loses}
        for step, s in found
        if s.state is not State.READY
    ]
    if output == "json":
        click.echo(json.dumps({"name": name, "changes": bool(rows), "steps": rows}, indent=2))
        return bool(rows)
    for row in rows:
        click.echo(f"{row['action']:<7} {row['title']:<44} {row['detail']}".rstrip())
        if row["loses"]:
            click.echo(f"        takes away: {row['loses']}; {_consent(row, recreate)}")
    return bool(rows)


def agreed(found: Found, recreate: Collection[str]) -> Collection[str]:
    """The steps that may be rebuilt: those of `recreate`, and those that the user at a terminal agrees to now."""
    stale = [(step, status) for step, status in found if status.state is State.STALE and step.name not in recreate]
    if not stale or not _has_terminal():
        return recreate
    for step, status in stale:
        click.echo(f"{step.title} can only be changed by making it anew: {status.detail}", err=True)
        if not click.confirm(f"  that takes away: {status.loses}\n  go on?", err=True):
            return recreate
    return {*recreate, *(step.name for step, _ in stale)}


def _has_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _consent(row: dict[str, Any], recreate: Collection[str]) -> str:
    return "agreed to" if row["step"] in recreate else f"only with --recreate {row['step']}"
