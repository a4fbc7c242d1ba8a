"""`sandbox certs`: a sandbox's root, issuing CA and leaves shown, renewed, exported and trusted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import BinaryIO

import click

from sandbox.app import chosen_spec, context
from sandbox.app.running import certificates
from sandbox.app.running.certificates import TrustedStores, root_of
from sandbox.cli import output, prompts
from sandbox.cli.app import Group
from sandbox.cli.options import (
    Call,
    begin,
    change_options,
    dry_run_option,
    name_option,
    output_option,
    spec_options,
    yes_option,
)
from sandbox.components.certificates.export_formats import FORMATS, public_roots
from sandbox.components.certificates.facts import describe
from sandbox.components.certificates.keystore import ISSUING, LEAF, ROOT, Entry, Keystore, inventory
from sandbox.components.certificates.subject_names import LOOPBACK_NETWORKS
from sandbox.errors import SandboxError
from sandbox.names import Names
from sandbox.quantities import count
from sandbox.truststore.trust_plan import Performer, Plan
from sandbox.truststore.trusted_root import Entry as TrustedRoot
from sandbox.truststore.trusted_root import Kind

COLORS = {"good": "green", "due": "yellow", "broken": "red"}
DEPTH = {ROOT: 0, ISSUING: 1, LEAF: 2}


@click.group("certs", cls=Group)
def certs() -> None:
    """Show, renew, export and trust the sandbox's certificates."""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A certificate; `secrets` and `stores` are null where they are not known or do not apply."""

    name: str
    role: str  # root, issuing or leaf
    state: str  # absent, good, due or broken
    reason: str
    file: str
    secrets: Sequence[str] | None
    stores: Sequence[str] | None
    subject: str = ""
    issuer: str = ""
    hosts: Sequence[str] = ()
    permitted: Sequence[str] = ()
    not_before: str = ""
    not_after: str = ""
    days_left: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class Certificates:
    name: str
    cluster_reachable: bool
    certificates: Sequence[Certificate]


@certs.command("show")
@spec_options
@output_option(Certificates)
def show() -> int:
    """Show root, issuing CA and leaves: expiry, where deployed, where trusted.

    Exit code 1 if one is missing or not usable.

    \b
    sandbox certs show
    sandbox certs show -n demo -o json
    """
    call = begin()
    names = context.home().sandbox(call.spec().name)
    entries = inventory(Keystore(names.keys), now=datetime.now(UTC))
    secrets, stores = certificates.secrets_with(names), certificates.stores_with(names, entries)
    rows = [_row(entry, secrets, stores) for entry in entries]
    none = f"no certificates yet in {names.keys}; sandbox up makes them"
    lines = (line for row in rows for line in _lines(row))
    call.show(Certificates(names.name, secrets is not None, rows), lines, none=none)
    if rows and secrets is None and call.output == "text":
        click.echo("cluster not reachable: the Secrets with these certificates are unknown", err=True)
    whole = {ROOT, ISSUING} <= {entry.role for entry in entries}
    return 0 if whole and all(entry.condition.usable for entry in entries) else 1


@certs.command("renew")
@spec_options
@click.option("--authority", is_flag=True, help="Renew the issuing CA too; the trusted root stays.")
@click.option("--root", is_flag=True, help="Renew everything; then trust the new root everywhere.")
@change_options("Change the root, or a sandbox of another file, without asking.")
def renew(*, authority: bool, root: bool) -> None:
    """Renew the leaves now and wait until they are served.

    You rarely need this: `sandbox up` renews certificates after two thirds of their lifetime. --authority also replaces
    a root that is not usable. A running cluster gets the new certificates without losing a connection.

    \b
    sandbox certs renew
    sandbox certs renew -n demo --root
    """
    call = begin("stopping", "run it again, or `sandbox up`, to have the renewed certificates served")

    def agree() -> None:
        if not call.yes:
            warning = "the root changes, and browsers and tools must then trust the new one"
            prompts.agree(warning, (), "create a new root?")

    renewal = certificates.renew(call.sandbox(), authority=authority, root=root, agree=agree)
    if renewal is None:
        call.say("cert-manager renews the leaves of this sandbox; use --authority or --root for the CAs")
        return
    if not renewal.served:
        call.say("the cluster is not reachable; `sandbox up` puts the new certificates there")
    for name in renewal.leaves:
        click.echo(f"renewed {name}")
    if renewal.replaced_root:
        call.say("the root has changed; trust it with: sandbox certs trust")


@certs.command("export")
@spec_options
@click.option("--format", "form", type=click.Choice(["pem", "bundle", "p12"]), required=True, help="See above.")
@click.option("--out", type=click.File("wb", lazy=True), required=True, help="A file; - is stdout.")
def export(*, form: str, out: BinaryIO) -> None:
    """Write the root certificate for programs that do not use a system trust store. Never writes a key.

    \b
    pem     the root alone, for programs that add it to the CAs they know:
              curl --cacert root.pem ...
              NODE_EXTRA_CA_CERTS=root.pem node ...
    bundle  the root and the public CAs, for programs that replace their list:
              SSL_CERT_FILE=bundle.pem REQUESTS_CA_BUNDLE=bundle.pem python ...
    p12     the same as a truststore for Java, which reads it as type JKS as well:
              java -Djavax.net.ssl.trustStore=trust.p12 \\
                -Djavax.net.ssl.trustStorePassword=changeit ...

    \b
    sandbox certs export --format pem --out root.pem
    sandbox certs export -n demo --format p12 --out trust.p12
    """
    names = context.home().sandbox(begin().spec().name)
    root = Keystore(names.keys).root
    if not root.has_cert:
        raise _no_certificates(names)
    out.write(FORMATS[form](root.read().cert_pem, b"" if form == "pem" else public_roots()))


@certs.command("trust")
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
        raise _no_certificates(names)
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
        stores.record.write(TrustedRoot(root, names.name))
        stores.record.forget(stores.replaced(root, names.name))


@certs.command("untrust")
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


def _no_certificates(names: Names) -> SandboxError:
    if not names.folder.exists():  # the name may be mistyped
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


def _row(entry: Entry, secrets: Mapping[str, Sequence[str]] | None, stores: Sequence[str]) -> Certificate:
    facts = entry.facts
    row = Certificate(
        name=entry.name,
        role=entry.role,
        state=entry.condition.state.value,
        reason=entry.condition.reason,
        file=str(entry.file),
        secrets=secrets.get(facts.sha256, ()) if secrets is not None and facts else None,
        stores=stores if entry.role == ROOT else None,
    )
    if facts is None:
        return row
    same = {name: getattr(facts, name) for name in ("subject", "issuer", "hosts", "permitted", "days_left", "sha256")}
    dates = {name: getattr(facts, name).isoformat() for name in ("not_before", "not_after")}
    return replace(row, **same, **dates)


def _lines(row: Certificate) -> Iterator[str]:
    standing = row.reason
    if row.state == "good" and row.not_after:
        standing = f"{count(row.days_left, 'day')} left until {row.not_after[:10]}"
    indent = "    " * DEPTH[row.role]
    yield f"{indent}{click.style(row.name, bold=True)}   {click.style(standing, fg=COLORS[row.state])}"
    permits = (*row.permitted, *map(str, LOOPBACK_NETWORKS)) if row.role != LEAF and row.sha256 else ()
    stores = row.stores if row.stores != () else ("not in any trust store; add it with: sandbox certs trust",)
    facts = (
        ("subject", row.subject),
        ("permits", ", ".join(permits)),
        ("hosts", ", ".join(row.hosts) if row.role == LEAF else ""),
        ("SHA-256", row.sha256),
        ("file", row.file),
        ("trusted", ", ".join(stores or ())),
        ("Secrets", ", ".join(row.secrets or ())),
    )
    for title, words in facts:
        if words:
            yield f"{indent}    {title:<9}{words}"
