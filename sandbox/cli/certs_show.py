"""`sandbox certs show`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from sandbox.cli import command_context
from sandbox.cli.certs_places import Places, find_places
from sandbox.cli.options import find_spec
from sandbox.components.certificates.condition import State
from sandbox.components.certificates.keystore import ISSUING, LEAF, ROOT, Entry, Keystore, inventory
from sandbox.components.certificates.subject_names import LOOPBACK_NETWORKS

COLORS = {State.GOOD: "green", State.DUE: "yellow", State.BROKEN: "red"}
DEPTH = {ROOT: 0, ISSUING: 1, LEAF: 2}


def run(ctx: click.Context, file: Path | None, name: str | None, *, output: str) -> int:
    """Show root, issuing authority and leaves, their days left and where they are."""
    command_context.start_log(verbose=ctx.obj)
    spec = find_spec(file, name)
    names = command_context.home().sandbox(spec.name)
    entries = inventory(Keystore(names.keys), now=datetime.now(UTC))
    places = find_places(names, entries)
    if output == "json":
        reachable = {"name": spec.name, "cluster_reachable": places.reachable}
        click.echo(json.dumps({**reachable, "certificates": [_row(one, places) for one in entries]}, indent=2))
    elif not entries:
        click.echo(f"no certificates yet in {names.keys}; sandbox up makes them", err=True)
    else:
        for line in _tree(entries, places):
            click.echo(line)
        if not places.reachable:
            click.echo("cluster not reachable: which Secrets hold these is not known", err=True)
    whole = {ROOT, ISSUING} <= {one.role for one in entries}
    return 0 if whole and all(one.condition.usable for one in entries) else 1


def _row(one: Entry, places: Places) -> dict[str, Any]:
    facts = one.facts
    row: dict[str, Any] = {
        "name": one.name,
        "role": one.role,
        "state": one.condition.state.value,
        "reason": one.condition.reason,
        "file": str(one.file),
        "secrets": places.secrets(one),
        "stores": places.stores(one),
    }
    if facts is not None:
        row |= {
            "subject": facts.subject,
            "issuer": facts.issuer,
            "hosts": facts.hosts,
            "permitted": facts.permitted,
            "not_before": facts.not_before.isoformat(),
            "not_after": facts.not_after.isoformat(),
            "days_left": facts.days_left,
            "sha256": facts.sha256,
        }
    return row


def _tree(entries: Sequence[Entry], places: Places) -> Iterator[str]:
    """Each certificate below the one that signed it, its facts below its name."""
    for index, one in enumerate(entries):
        depth = DEPTH[one.role]
        rest = entries[index + 1 :]
        more = bool(rest) and DEPTH[rest[0].role] == depth
        below = bool(rest) and DEPTH[rest[0].role] > depth
        branch = "   " * (depth - 1) + ("├─ " if more else "└─ ") if depth else ""
        trunk = "   " * (depth - 1) + ("│  " if more else "   ") if depth else ""
        yield f"{branch}{click.style(one.name, bold=True)}   {_standing(one)}"
        for title, words in _facts(one, places):
            yield f"{trunk}{'│' if below else ' '}  {title:<9}{words}"


def _standing(one: Entry) -> str:
    color = COLORS[one.condition.state]
    if one.condition.state is State.GOOD and one.facts is not None:
        return click.style(f"{one.facts.days_left} days left until {one.facts.not_after:%Y-%m-%d}", fg=color)
    return click.style(one.condition.reason, fg=color)


def _facts(one: Entry, places: Places) -> Iterator[tuple[str, str]]:
    if one.facts is not None:
        if one.facts.subject:
            yield "subject", one.facts.subject
        if one.facts.authority:
            yield "permits", ", ".join((*one.facts.permitted, *map(str, LOOPBACK_NETWORKS)))
        else:
            yield "hosts", ", ".join(one.facts.hosts)
        yield "SHA-256", one.facts.sha256
    yield "file", str(one.file)
    if one.role == ROOT and places.stores(one) is not None:
        yield "trusted", ", ".join(places.stores(one) or ()) or "by no store: sandbox certs trust"
    if one.role != ROOT and places.reachable:
        held = places.secrets(one)
        if held or one.role == LEAF:
            yield "Secrets", ", ".join(held or ()) or "none"
