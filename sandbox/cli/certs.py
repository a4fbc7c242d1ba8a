"""`sandbox certs`: a sandbox's root, issuing CA and leaves shown, renewed and exported."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sandbox.cli.certs_trust import trust, untrust
from sandbox.cli.groups import Group
from sandbox.cli.options import begin, find_spec, output_option, progress_option, sandbox_of, spec_options
from sandbox.cli.output import require_terminal, show_json
from sandbox.quantities import count

if TYPE_CHECKING:
    from sandbox.app.certificate_places import Places
    from sandbox.components.certificates.keystore import Entry

COLORS = {"good": "green", "due": "yellow", "broken": "red"}
DEPTH = {"root": 0, "issuing": 1, "leaf": 2}
BINARY = "p12"
STDOUT = ("-", "/dev/stdout")  # the second may be a link to a regular file, which must not be replaced


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
    """`sandbox certs show`."""

    name: str
    cluster_reachable: bool
    certificates: Sequence[Certificate]


@certs.command("show")
@spec_options
@output_option(Certificates)
def show(file: Path | None, name: str | None, *, output: str) -> int:
    """Show root, issuing CA and leaves: expiry, where deployed, where trusted.

    Exit code 1 if one is missing or not usable.

    \b
    sandbox certs show
    sandbox certs show -n demo -o json
    """
    begin()
    from sandbox.app import context
    from sandbox.app.certificate_places import find_places
    from sandbox.components.certificates.keystore import ISSUING, ROOT, Keystore, inventory

    spec = find_spec(file, name)
    names = context.home().sandbox(spec.name)
    entries = inventory(Keystore(names.keys), now=datetime.now(UTC))
    places = find_places(names, entries)
    if output == "json":
        rows = [_row(entry, places) for entry in entries]
        show_json(Certificates(name=spec.name, cluster_reachable=places.reachable, certificates=rows))
    elif not entries:
        click.echo(f"no certificates yet in {names.keys}; sandbox up makes them", err=True)
    else:
        for line in _tree(entries, places):
            click.echo(line)
        if not places.reachable:
            click.echo("cluster not reachable: the Secrets with these certificates are unknown", err=True)
    whole = {ROOT, ISSUING} <= {one.role for one in entries}
    return 0 if whole and all(one.condition.usable for one in entries) else 1


@certs.command("renew")
@spec_options
@click.option("--authority", is_flag=True, help="Renew the issuing CA too; the trusted root stays.")
@click.option("--root", is_flag=True, help="Renew everything; then trust the new root everywhere.")
@click.option("--yes", is_flag=True, help="Change the root, or a sandbox of another file, without asking.")
@progress_option
def renew(file: Path | None, name: str | None, *, authority: bool, root: bool, yes: bool, progress: str) -> int:
    """Renew the leaves now and wait until they are served.

    You rarely need this: `sandbox up` renews certificates after two thirds of their lifetime. --authority also replaces
    a root that is not usable. A running cluster gets the new certificates without losing a connection.

    \b
    sandbox certs renew
    sandbox certs renew -n demo --root
    """
    begin("stopping", "run it again, or `sandbox up`, to have the renewed certificates served")
    from sandbox.app import certificate_renewal
    from sandbox.app.certificate_renewal import Outcome

    sandbox = sandbox_of(file, name, yes=yes, progress=progress)
    say = sandbox.session.say
    renewal = certificate_renewal.renew(
        sandbox,
        authority=authority,
        root=root,
        agreed=lambda: yes or _agree_to_new_root(),
    )
    match renewal.outcome:
        case Outcome.CERT_MANAGER:
            say("cert-manager renews the leaves of this sandbox; use --authority or --root for the CAs")
            return 0
        case Outcome.DECLINED:
            say("nothing was changed")
            return 1
        case Outcome.WRITTEN:
            say("the cluster is not reachable; `sandbox up` puts the new certificates there")
    for entry in renewal.leaves:
        click.echo(f"renewed {entry}")
    if renewal.replaced_root:
        say("the root has changed; trust it with: sandbox certs trust")
    return 0


@certs.command("export")
@spec_options
@click.option("--format", "form", type=click.Choice(["pem", "bundle", "p12"]), required=True, help="See above.")
@click.option("--out", type=click.Path(path_type=Path, allow_dash=True), required=True, help="A file; - is stdout.")
def export(file: Path | None, name: str | None, *, form: str, out: Path) -> None:
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
    begin()
    from sandbox.app import context
    from sandbox.components.certificates.export_formats import FORMATS, public_roots
    from sandbox.components.certificates.keystore import Keystore
    from sandbox.errors import SandboxError, UsageError
    from sandbox.system import files

    spec = find_spec(file, name)
    root = Keystore(context.home().sandbox(spec.name).keys).root
    if not root.has_cert:
        raise SandboxError(f"{spec.name} has no certificates yet", fix="sandbox up makes them", id="authority")
    to_stdout = str(out) in STDOUT
    if form == BINARY and to_stdout and sys.stdout.isatty():
        raise UsageError("a truststore is binary and cannot be shown on a terminal", fix="give --out a file")
    data = FORMATS[form](root.read().cert_pem, b"" if form == "pem" else public_roots())
    if to_stdout:
        sys.stdout.buffer.write(data)
    else:
        files.require_regular(out)
        # A link is followed: the user named its target, and it may be one of the system's, such as /dev/stderr.
        files.write_atomic(out.resolve(), data, mode=0o644)


certs.add_command(trust)
certs.add_command(untrust)


def _row(entry: Entry, places: Places) -> Certificate:
    row = Certificate(
        name=entry.name,
        role=entry.role,
        state=entry.condition.state.value,
        reason=entry.condition.reason,
        file=str(entry.file),
        secrets=places.secrets(entry),
        stores=places.stores(entry),
    )
    if (facts := entry.facts) is None:
        return row
    return replace(
        row,
        subject=facts.subject,
        issuer=facts.issuer,
        hosts=facts.hosts,
        permitted=facts.permitted,
        not_before=facts.not_before.isoformat(),
        not_after=facts.not_after.isoformat(),
        days_left=facts.days_left,
        sha256=facts.sha256,
    )


def _tree(entries: Sequence[Entry], places: Places) -> Iterator[str]:
    """Yield each certificate below the one that signed it, with its facts below its name."""
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
    color = COLORS[one.condition.state.value]
    if one.condition.state.value == "good" and one.facts is not None:
        return click.style(f"{count(one.facts.days_left, 'day')} left until {one.facts.not_after:%Y-%m-%d}", fg=color)
    return click.style(one.condition.reason, fg=color)


def _facts(one: Entry, places: Places) -> Iterator[tuple[str, str]]:
    from sandbox.components.certificates.keystore import LEAF, ROOT
    from sandbox.components.certificates.subject_names import LOOPBACK_NETWORKS

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
        yield (
            "trusted",
            ", ".join(places.stores(one) or ()) or "not in any trust store; add it with: sandbox certs trust",
        )
    if one.role != ROOT and places.reachable:
        held = places.secrets(one)
        if held or one.role == LEAF:
            yield "Secrets", ", ".join(held or ()) or "none"


def _agree_to_new_root() -> bool:
    warning = "the root changes: browsers and tools must then trust the new one"
    require_terminal(warning, details="stdin is not a terminal")
    click.echo(warning, err=True)
    return click.confirm("create a new root?", err=True)
