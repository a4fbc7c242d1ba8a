"""`sandbox certs trust` and `untrust`: show the changes to this machine's trust stores, ask, and make them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from sandbox.app import chosen_spec, context
from sandbox.app.running.trusted_stores import TrustedStores, root_of
from sandbox.cli import output, prompts
from sandbox.cli.options import Call, begin, dry_run_option, name_option, spec_options, yes_option
from sandbox.components.certificates.facts import describe
from sandbox.errors import SandboxError
from sandbox.names import Names
from sandbox.quantities import count
from sandbox.truststore.change import Kind
from sandbox.truststore.trust_plan import Performer, Plan
from sandbox.truststore.trusted_root import Entry


@click.command("trust")
@spec_options
@click.option(
    "--store",
    "kinds",
    multiple=True,
    type=click.Choice([kind.value for kind in Kind]),
    help="Only this store; may be repeated.  [default: those of system, nss and java that exist]",
)
@yes_option()
@dry_run_option
def trust(*, kinds: tuple[str, ...]) -> None:
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

    For programs with a list of their own, such as Python's requests and
    Node.js, see `sandbox certs export`.

    \b
    sandbox certs trust
    sandbox certs trust -n demo --store nss --yes
    """
    call = begin()
    names = context.home().sandbox(call.spec().name)
    if not names.root_certificate.is_file():
        raise no_certificates(names)
    root = root_of(names.root_certificate)
    with TrustedStores.locked() as stores:
        plan = stores.plan_trust(root, names.name, kinds)
        facts = describe(names.root_certificate.read_bytes(), now=datetime.now(UTC))
        permitted = f"{', '.join(facts.permitted)} with all names below, 127.0.0.0/8 and ::1, and nothing else"
        about = (
            f"the root certificate of the sandbox {names.name}",
            f"  subject    {facts.subject}",
            f"  SHA-256    {facts.sha256}",
            f"  permitted  {permitted}",
            f"  expires    {facts.not_after:%Y-%m-%d} ({count(facts.days_left, 'day')} left)",
        )
        if not _change(call, stores, about, plan, sandbox=names.name):
            return
        stores.record.write(Entry(root, names.name))
        stores.record.forget(stores.replaced(root, names.name))


@click.command("untrust")
@name_option("Only the root of this sandbox.  [default: of all]")
@yes_option()
@dry_run_option
def untrust() -> None:
    """Remove the root of one sandbox, or of all, from every store that `trust` added it to.

    Nothing else in the stores changes. You can still run it when the sandbox is gone.

    \b
    sandbox certs untrust
    sandbox certs untrust -n demo --yes
    """
    call = begin()
    with TrustedStores.locked() as stores:
        roots = stores.roots(call.name)
        plan = stores.plan_untrust(roots)
        lines = [f"{root.common_name}, SHA-256 {root.sha256}" for root in sorted(roots, key=lambda root: root.label)]
        if not plan.changes:
            lines = ["no store holds a root that sandbox certs trust put there"]
        if _change(call, stores, lines, plan):
            stores.record.forget(roots)


def no_certificates(names: Names) -> SandboxError:
    """Return the error for a sandbox without certificates; its name may be mistyped."""
    if not names.folder.exists():
        return chosen_spec.unknown(names.name)
    return SandboxError(f"{names.name} has no certificates yet", fix="sandbox up makes them", id="authority")


def _change(call: Call, stores: TrustedStores, about: Sequence[str], plan: Plan, *, sandbox: str = "") -> bool:
    performer = Performer(stores.machine, at_terminal=output.has_terminal())
    lines = [*about]
    for change in plan.changes:
        lines += ["", change.title, *(f"  $ {line}" for line in performer.shown(change))]
    if plan.unchanged:
        lines += ["", *(f"already there, in {place}" for place in plan.unchanged)]
    if not plan.changes:
        lines += ["", "nothing to change"]
    lines += [f"note: {note}" for note in plan.notes]
    if call.dry_run or call.yes or not plan.changes:
        click.echo("\n".join(lines), err=not call.dry_run)
    if call.dry_run:
        return False
    performer.require_tools(plan.changes)
    if not plan.changes:
        return True
    if not call.yes:
        prompts.agree("trust stores of this machine would change", lines, "change these stores?")
    stores.note_before(plan, sandbox)
    performer.perform(plan.changes, lambda change: click.echo(f"✓ {change.title}", err=True))
    if any(change.kind is Kind.NSS for change in plan.changes):
        click.echo("restart running browsers to apply the change", err=True)
    return True
