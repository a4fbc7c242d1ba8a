"""`sandbox kubeconfig`: prints a kubeconfig that reaches one sandbox only."""

from __future__ import annotations

import click

from sandbox.app import chosen_spec
from sandbox.app.running import cluster_access
from sandbox.cli.options import begin, spec_options


@click.command("kubeconfig")
@spec_options
@click.option("--read-only", is_flag=True, help="May read everything but Secrets, and change nothing.")
@click.option("--namespace", metavar="NAMESPACE", help="Only in this namespace.  [default: all]")
def kubeconfig(*, read_only: bool, namespace: str | None) -> None:
    """Print a kubeconfig that reaches this sandbox only; its account expires after 8 hours.

    Give it to a program that must not see the other clusters in your kubeconfig. Without --read-only the account may
    change everything except roles, quotas and nodes (the role `edit` of Kubernetes).

    \b
    sandbox kubeconfig --read-only > agent.kubeconfig
    sandbox kubeconfig --namespace shop
    """
    call = begin()
    spec = chosen_spec.brought_up(call.spec().name)
    names, _, _ = call.running()
    click.echo(cluster_access.make(names, spec, read_only=read_only, namespace=namespace), nl=False)
