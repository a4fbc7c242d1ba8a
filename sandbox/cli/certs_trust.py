"""`sandbox certs trust` and `untrust`: show the changes to this machine's trust stores, ask, and make them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sandbox.cli.options import begin, dry_run_option, find_spec, name_option, spec_options, yes_option
from sandbox.cli.output import has_terminal, require_terminal
from sandbox.errors import SandboxError
from sandbox.quantities import count

if TYPE_CHECKING:
    from sandbox.app.trusted_stores import TrustedStores
    from sandbox.truststore.trust_plan import Performer, Plan


@click.command("trust")
@spec_options
@click.option(
    "--store",
    "kinds",
    multiple=True,
    type=click.Choice(["system", "nss", "java", "python"]),
    help="Only this store; may be repeated.  [default: those of system, nss and java that exist]",
)
@yes_option
@dry_run_option
def trust(file: Path | None, name: str | None, *, kinds: tuple[str, ...], yes: bool, dry_run: bool) -> None:
    """Add the root to this machine's trust stores, after asking; `untrust` removes it.

    The root can only sign for the sandbox's domain, localhost and loopback addresses. The root that it replaces is
    removed.

    \b
    system  the system's store: curl, git, Go, .NET
            too. Needs root, by sudo.
    nss     the databases of Chrome (Linux) and Firefox, if they exist. Needs
            certutil.
    java    the cacerts of the JDK in JAVA_HOME or on the PATH, unless it follows
            the system's store.
    python  only if named: a file with the system's roots and this one, for
            programs with their own list, such as Python's requests and Node.js;
            prints the lines for your shell's profile.

    \b
    sandbox certs trust
    sandbox certs trust -n demo --store nss --yes
    """
    begin()
    from sandbox.app import context
    from sandbox.app.trusted_stores import TrustedStores, root_of
    from sandbox.truststore.trusted_root import Entry

    names = context.home().sandbox(find_spec(file, name).name)
    if not names.root_certificate.is_file():
        raise SandboxError(f"{names.name} has no certificates yet", fix="sandbox up makes them", id="authority")
    root = root_of(names.root_certificate)
    with TrustedStores.locked() as at:
        planned = at.plan_trust(root, names.name, kinds)
        lines = [f"the root certificate of the sandbox {names.name}", *_facts(names.root_certificate.read_bytes())]
        if not _change(at, lines, planned, "change these stores?", yes=yes, dry_run=dry_run, sandbox=names.name):
            return
        at.record.write(Entry(root, names.name))
        at.record.forget(at.replaced(root, names.name))
    if "python" in kinds:
        for line in at.shell_lines(root):
            click.echo(line)


@click.command("untrust")
@name_option("Only the root of this sandbox.  [default: of all]")
@yes_option
@dry_run_option
def untrust(name: str | None, *, yes: bool, dry_run: bool) -> None:
    """Remove the root of one sandbox, or of all, from every store that `trust` added it to.

    Nothing else in the stores changes. You can still run it when the sandbox is gone.

    \b
    sandbox certs untrust
    sandbox certs untrust -n demo --yes
    """
    begin()
    from sandbox.app.trusted_stores import TrustedStores

    with TrustedStores.locked() as at:
        meant = at.roots(name)
        planned = at.plan_untrust(meant)
        lines = [f"{root.common_name}, SHA-256 {root.sha256}" for root in sorted(meant, key=lambda one: one.label)]
        about = lines if planned.changes else ["no store holds a root that sandbox certs trust put there"]
        if _change(at, about, planned, "remove these?", yes=yes, dry_run=dry_run):
            at.record.forget(meant)


def _change(
    at: TrustedStores,
    about: Sequence[str],
    planned: Plan,
    question: str,
    *,
    yes: bool,
    dry_run: bool,
    sandbox: str = "",
) -> bool:
    """Show the changes, ask, and make them; return whether the stores are then as planned.

    Raises UsageError where there is no terminal.
    """
    from sandbox.truststore.change import Kind
    from sandbox.truststore.trust_plan import Performer

    performer = Performer(at.machine, at_terminal=has_terminal())
    for line in (*about, *_lines(planned, performer)):
        click.echo(line, err=not dry_run)
    if dry_run:
        return False
    performer.require_tools(planned.changes)
    if not planned.changes:
        return True
    if not yes:
        require_terminal("this asks before it changes a store, and stdin is not a terminal")
        if not click.confirm(question, err=True):
            click.echo("nothing was changed", err=True)
            return False
    at.note_before(planned, sandbox)
    performer.perform(planned.changes, lambda one: click.echo(f"✓ {one.title}", err=True))
    if any(one.kind is Kind.NSS for one in planned.changes):
        click.echo("restart running browsers to apply the change", err=True)
    return True


def _lines(planned: Plan, performer: Performer) -> list[str]:
    lines = []
    for change in planned.changes:
        lines += ["", click.style(change.title, bold=True), *(f"  $ {line}" for line in performer.shown(change))]
    if planned.unchanged:
        lines += ["", *(f"already there, in {place}" for place in planned.unchanged)]
    if not planned.changes:
        lines += ["", "nothing to change"]
    return [*lines, *(f"note: {note}" for note in planned.notes)]


def _facts(pem: bytes) -> list[str]:
    from sandbox.components.certificates.facts import describe

    facts = describe(pem, now=datetime.now(UTC))
    permitted = f"{', '.join(facts.permitted)} with all names below, 127.0.0.0/8 and ::1, and nothing else"
    return [
        f"  subject    {facts.subject}",
        f"  SHA-256    {facts.sha256}",
        f"  permitted  {permitted}",
        f"  expires    {facts.not_after:%Y-%m-%d} ({count(facts.days_left, 'day')} left)",
    ]
