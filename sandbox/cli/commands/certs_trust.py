"""`sandbox certs trust` and `untrust` as typed; what it does is imported when it is called."""

from __future__ import annotations

from typing import Any

import click

from sandbox.cli.options import spec_options
from sandbox.truststore.change import Kind

yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")


@click.command("trust")
@spec_options
@click.option(
    "--store",
    "kinds",
    multiple=True,
    type=click.Choice([kind.value for kind in Kind]),
    help="Only this store; may be repeated.  [default: system, nss and java, as far as they are here]",
)
@yes_option
@dry_run_option
@click.pass_context
def trust(ctx: click.Context, /, **options: Any) -> Any:
    """Let browsers and tools of this machine trust the root. Asks first; `untrust` takes everything back.

    The root can vouch for the sandbox's domain, localhost and loopback addresses only. One that it replaces goes.

    \b
    system  the system's store: curl, git, Go, .NET; on macOS Safari and Chrome too. Needs root, by sudo.
    nss     the databases of Chrome (Linux) and Firefox, as far as these have made them. Needs certutil.
    java    the cacerts of the JDK in JAVA_HOME or on the PATH, where it does not follow the system's store.
    python  only on demand: a file of the system's roots and ours, for programs with roots of their own such as
            Python's requests and Node.js; the lines to add to a shell's profile are printed.

    \b
    sandbox certs trust
    sandbox certs trust demo --store nss --yes
    """
    from sandbox.cli import certs_trust

    return certs_trust.trust(ctx, **options)


@click.command("untrust")
@click.argument("name", required=False)
@yes_option
@dry_run_option
@click.pass_context
def untrust(ctx: click.Context, /, **options: Any) -> Any:
    """Take the root of the sandbox NAME, by default the roots of all, out of every store that `trust` put it in.

    Nothing else in a store is touched. It works after the sandbox has gone, too.

    \b
    sandbox certs untrust
    sandbox certs untrust demo --yes
    """
    from sandbox.cli import certs_trust

    return certs_trust.untrust(ctx, **options)
