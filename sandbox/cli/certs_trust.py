"""`sandbox certs trust` and `untrust`: what would change, the question, the change."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from sandbox.cli import command_context
from sandbox.cli.options import find_spec
from sandbox.components.certificates.pem import describe
from sandbox.errors import SandboxError, UsageError
from sandbox.system import files
from sandbox.truststore import stores, trust_plan
from sandbox.truststore.change import Change, Holding, Kind, survey
from sandbox.truststore.python_bundle import exports
from sandbox.truststore.trust_plan import Performer, Plan
from sandbox.truststore.trusted_root import Entry, Record, Root, parse


def trust(
    ctx: click.Context, file: Path | None, name: str | None, *, kinds: tuple[str, ...], yes: bool, dry_run: bool
) -> int:
    """Let browsers and tools of this machine trust the root. Asks first; `untrust` takes everything back."""
    command_context.start_log(verbose=ctx.obj)
    names = command_context.home().sandbox(find_spec(file, name).name)
    if not names.root_certificate.is_file():
        raise SandboxError(f"{names.name} has no certificates yet", fix="sandbox up makes them", id="authority")
    pem = names.root_certificate.read_bytes()
    root = parse(pem)
    _require_ours(root, names.root_certificate)
    with _Trust() as at:
        replaced = [one.root for one in at.noted if one.sandbox == names.name and one.root != root]
        wanted = [Kind(kind) for kind in kinds]
        planned = trust_plan.trust(root, replaced, at.holdings, at.machine, wanted)
        lines = [f"the root certificate of the sandbox {names.name}", *_facts(pem)]
        if not at.change(lines, planned, "change these stores?", yes=yes, dry_run=dry_run, sandbox=names.name):
            return 0
        at.record.write(Entry(root, names.name))
        at.record.forget(replaced)
    if Kind.PYTHON in wanted:
        for line in exports(stores.bundle(at.machine.folder), at.record.certificate(root)):
            click.echo(line)
    return 0


def untrust(ctx: click.Context, name: str | None, *, yes: bool, dry_run: bool) -> int:
    """Take the root of the sandbox NAME, by default the roots of all, out of every store that `trust` put it in."""
    command_context.start_log(verbose=ctx.obj)
    with _Trust() as at:
        meant = at.roots(name)
        planned = trust_plan.untrust(meant.__contains__, at.holdings, at.machine)
        lines = [f"{root.common_name}, SHA-256 {root.sha256}" for root in sorted(meant, key=lambda one: one.label)]
        about = lines if planned.changes else ["no store holds a root that sandbox certs trust put there"]
        if at.change(about, planned, "remove these?", yes=yes, dry_run=dry_run):
            at.record.forget(meant)
    return 0


class _Trust:
    """The stores of this machine and the record of what was put there, while no other command works on them."""

    def __init__(self) -> None:
        home = command_context.home()
        self.machine = stores.this_machine(home.trust)
        self.record = Record(home.trust)
        files.make_private_dir(home.trust)
        self._lock = files.exclusive(home.trust)

    def __enter__(self) -> _Trust:
        self._lock.__enter__()
        self.noted = self.record.entries()
        found = stores.find(self.machine)
        self.holdings: Sequence[Holding] = survey((*stores.recorded(self.record, found), *found))
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.__exit__(None, None, None)

    def roots(self, name: str | None) -> set[Root]:
        """Those of the sandbox `name`, noted or in its files, else those of all. Raises UsageError for none."""
        if name is None:
            return {root for one in self.holdings for root in one.entries} | {one.root for one in self.noted}
        current = command_context.home().sandbox(name).root_certificate
        found = {parse(current.read_bytes())} if current.is_file() else set()
        found |= {one.root for one in self.noted if one.sandbox == name}
        if not found:
            fix = "sandbox certs untrust, without a name, finds what was left by any"
            raise UsageError(f"no root of a sandbox {name} is known", fix=fix, id="trust")
        return found

    def change(
        self, about: Sequence[str], planned: Plan, question: str, *, yes: bool, dry_run: bool, sandbox: str = ""
    ) -> bool:
        """Show, ask, do; True when the stores are afterwards as planned. Raises UsageError when nobody can be asked."""
        performer = Performer(self.machine, at_terminal=sys.stdin.isatty())
        for line in (*about, *_lines(planned, performer)):
            click.echo(line, err=not dry_run)
        if dry_run:
            return False
        performer.require_tools(planned.changes)
        if not planned.changes:
            return True
        if not yes and not performer.at_terminal:
            raise UsageError(
                "this asks before it changes a store, and here is no terminal", fix="add --yes", id="consent"
            )
        if not yes and not click.confirm(question, err=True):
            click.echo("nothing was changed", err=True)
            return False
        for one in planned.changes:  # first, so that what an interruption leaves half done is known
            places = ((one.kind.value, one.place),) if one.adds else ()
            self.record.write(Entry(one.root, sandbox if one.adds else "", places))
        performer.perform(planned.changes, lambda one: click.echo(f"✓ {one.title}", err=True))
        if any(one.kind is Kind.NSS for one in planned.changes):
            click.echo("browsers that are running notice after their next start", err=True)
        return True


def _lines(planned: Plan, performer: Performer) -> list[str]:
    lines = []
    for change in planned.changes:
        lines += ["", _title(change), *(f"  $ {line}" for line in performer.shown(change))]
    if planned.unchanged:
        lines += ["", *(f"already there, in {place}" for place in planned.unchanged)]
    if not planned.changes:
        lines += ["", "nothing to change"]
    return [*lines, *(f"note: {note}" for note in planned.notes)]


def _title(change: Change) -> str:
    return click.style(change.title, bold=True)


def _facts(pem: bytes) -> list[str]:
    facts = describe(pem, now=datetime.now(UTC))
    permitted = f"{', '.join(facts.permitted)} with all names below, 127.0.0.0/8 and ::1, and nothing else"
    return [
        f"  subject    {facts.subject}",
        f"  SHA-256    {facts.sha256}",
        f"  permitted  {permitted}",
        f"  expires    {facts.not_after:%Y-%m-%d} ({facts.days_left} days left)",
    ]


def _require_ours(root: Root, path: Path) -> None:
    if not root.is_ours:
        raise SandboxError(
            f"{path} is no sandbox's root", fix=f"look at it: openssl x509 -text -in {shlex.quote(str(path))}"
        )
