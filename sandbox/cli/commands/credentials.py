"""`sandbox credentials` as typed; what it does is imported when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sandbox.cli.options import output_option, spec_options


@click.group("credentials")
def command() -> None:
    """Give pods your accounts at other registries (docker, gcr, ecr, acr), and renew them in time.

    Each becomes a Secret in every namespace that may have it, named by the service accounts there, whenever they are
    made. Keys stay on this machine: what enters the cluster is a token, which a process renews before it ends. Only
    passwords of `docker login` enter as they are.
    """


@command.command("add")
@click.argument("kind", type=click.Choice(["docker", "gcr", "ecr", "acr"]))
@spec_options
@click.option("--from", "source", type=click.Path(path_type=Path), help="The file with the key.  [default: the usual]")
@click.option("--registry", "registries", multiple=True, help="HOST or HOST:PORT, for docker and gcr; acr needs one.")
@click.option("--region", help="Of ecr.")
@click.option("--account", "accounts", multiple=True, help="Of ecr, whose registries are meant.")
@click.option("--profile", help="Of ecr, in AWS's files.")
@click.option("--role", help="Of ecr, the ARN of a role to assume.")
@click.option("--namespace", "namespaces", multiple=True, help="Only these.  [default: all]")
@click.option("--secret", help="The name of the Secret.  [default: as minikube has it, such as gcr-secret]")
@click.pass_context
def add(ctx: click.Context, /, **options: Any) -> Any:
    """Add accounts of KIND until `remove` or `down`; `credentials:` in sandbox.yaml is for those that should stay.

    \b
    sandbox credentials add docker --registry quay.io
    sandbox credentials add gcr --from key.json
    sandbox credentials add ecr --profile work --region eu-central-1
    sandbox credentials add acr --registry demo.azurecr.io --from principal.json
    """
    from sandbox.cli import credentials

    return credentials.add(ctx, **options)


@command.command("list")
@spec_options
@output_option
@click.pass_context
def list_(ctx: click.Context, /, **options: Any) -> Any:
    """List which accounts the cluster has, for whom and until when. Shows no secret.

    \b
    sandbox credentials list
    sandbox credentials list demo -o json
    """
    from sandbox.cli import credentials

    return credentials.list_(ctx, **options)


@command.command("remove")
@click.argument("secret")
@spec_options
@click.pass_context
def remove(ctx: click.Context, /, **options: Any) -> Any:
    """Take the accounts in SECRET from every namespace.

    \b
    sandbox credentials remove dpr-secret
    """
    from sandbox.cli import credentials

    return credentials.remove(ctx, **options)


@command.command("refresh")
@spec_options
@click.option("--secret", "secrets", multiple=True, help="Only these.  [default: all]")
@click.pass_context
def refresh(ctx: click.Context, /, **options: Any) -> Any:
    """Read the files again and get new tokens, whether or not the present ones are about to end.

    \b
    sandbox credentials refresh
    """
    from sandbox.cli import credentials

    return credentials.refresh(ctx, **options)
