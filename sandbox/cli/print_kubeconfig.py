"""`sandbox kubeconfig`: prints a kubeconfig that reaches one sandbox only."""

from __future__ import annotations

from pathlib import Path

import click

from sandbox.cli.options import begin, find_spec, spec_options


@click.command("kubeconfig")
@spec_options
@click.option("--read-only", is_flag=True, help="May read everything but Secrets, and change nothing.")
@click.option("--namespace", metavar="NAMESPACE", help="Only in this namespace.  [default: all]")
def kubeconfig(file: Path | None, name: str | None, *, read_only: bool, namespace: str | None) -> None:
    """Print a kubeconfig that reaches this sandbox only; its account expires after 8 hours.

    Give it to a program that must not see the other clusters in your kubeconfig. Without --read-only the account may
    change everything except roles, quotas and nodes (the role `edit` of Kubernetes).

    \b
    sandbox kubeconfig --read-only > agent.kubeconfig
    sandbox kubeconfig --namespace shop
    """
    begin()
    from sandbox.app import chosen_spec, cluster_access, context
    from sandbox.app.session import wake_paused

    spec = chosen_spec.brought_up(find_spec(file, name).name)
    names = context.home().sandbox(spec.name)
    wake_paused(names)
    click.echo(cluster_access.make(names, spec, read_only=read_only, namespace=namespace), nl=False)
