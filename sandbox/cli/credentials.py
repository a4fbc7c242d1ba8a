"""`sandbox credentials`: the accounts at other registries that pods have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from sandbox.cli.groups import Group
from sandbox.cli.options import begin, changing_option, output_option, sandbox_of, spec_options
from sandbox.cli.output import show_json
from sandbox.errors import UsageError

if TYPE_CHECKING:
    from sandbox.app.pod_accounts import PodAccounts
    from sandbox.components.credentials.kept_secret import Held
    from sandbox.config.schema.credentials_schema import Credentials

_OPTIONS = {"registries": "--registry", "accounts": "--account", "namespaces": "--namespace", "file": "--from"}


@click.group("credentials", cls=Group)
def credentials() -> None:
    """Give pods your accounts at other registries (docker, gcr, ecr, acr), and renew them.

    Each becomes a pull Secret of the service accounts in the chosen namespaces, also in later ones. Keys stay on this
    machine: the cluster gets tokens, which a process renews before they expire. Only passwords of `docker login` enter
    the cluster unchanged.
    """


@dataclass(frozen=True)
class Account:
    """Accounts at other registries in a Secret; `origin` is the command or file that asked for them."""

    secret: str
    kind: str  # docker, gcr, ecr or acr
    registries: Sequence[str]
    namespaces: Literal["all"] | Sequence[str]
    file: str | None
    origin: str
    expires: str | None


@dataclass(frozen=True)
class Accounts:
    """`sandbox credentials list`; `ignored` are Secrets that no command of this user made.

    `registry_creds` are the kinds of accounts that minikube's addon of that name has.
    """

    name: str
    credentials: Sequence[Account]
    ignored: Sequence[str]
    registry_creds: Sequence[str]


@credentials.command("add")
@click.argument("kind", type=click.Choice(["docker", "gcr", "ecr", "acr"]))
@spec_options
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    help="The file with the key.  [default: the provider's usual one]",
)
@click.option("--registry", "registries", multiple=True, help="HOST or HOST:PORT, for docker and gcr; acr needs one.")
@click.option("--region", help="ecr: the region.")
@click.option("--account", "accounts", multiple=True, help="ecr: the AWS account of the registries.")
@click.option("--profile", help="ecr: the profile in AWS's files.")
@click.option("--role", help="ecr: the ARN of a role to assume.")
@click.option(
    "--namespace", "namespaces", multiple=True, help="Only in this namespace; may be repeated.  [default: all]"
)
@click.option("--secret", help="The name of the Secret.  [default: minikube's, such as gcr-secret]")
@changing_option
def add(kind: str, file: Path | None, name: str | None, *, yes: bool, **given: Any) -> None:
    """Add accounts of KIND until `remove` or `down`; for permanent ones use `credentials:` in sandbox.yaml.

    \b
    sandbox credentials add docker --registry quay.io
    sandbox credentials add gcr --from key.json
    sandbox credentials add ecr --profile work --region eu-central-1
    sandbox credentials add acr --registry demo.azurecr.io --from principal.json
    """
    with _changing(file, name, yes=yes) as accounts:
        entry = _entry(kind, given)
        held = accounts.add(entry)
        click.echo(_line(held.entry.secret, held))


@credentials.command("list")
@spec_options
@output_option(Accounts)
def list_(file: Path | None, name: str | None, *, output: str) -> None:
    """List the cluster's accounts, their namespaces and expiry. Shows no secret.

    \b
    sandbox credentials list
    sandbox credentials list -n demo -o json
    """
    begin()
    from sandbox.app.pod_accounts import IGNORED, PodAccounts
    from sandbox.names import SYSTEM_NAMESPACE

    spec = sandbox_of(file, name).spec
    accounts = PodAccounts.of(spec)
    held, ignored = accounts.delivery.held(), accounts.delivery.ignored()
    in_addon = accounts.in_addon
    if output == "json":
        rows = [_row(secret, one) for secret, one in sorted(held.items())]
        show_json(Accounts(name=spec.name, credentials=rows, ignored=ignored, registry_creds=in_addon))
        return
    for secret, one in sorted(held.items()):
        click.echo(_line(secret, one))
    if in_addon:
        click.echo(f"minikube's addon registry-creds has accounts too: {', '.join(in_addon)}", err=True)
    elif not held:
        click.echo("no credentials; add some with: sandbox credentials add", err=True)
    for secret in ignored:
        click.echo(f"ignored: the Secret {secret} in {SYSTEM_NAMESPACE}; {IGNORED}", err=True)


@credentials.command("remove")
@click.argument("secret")
@spec_options
@changing_option
def remove(secret: str, file: Path | None, name: str | None, *, yes: bool) -> None:
    """Remove the Secret SECRET and its accounts from every namespace.

    \b
    sandbox credentials remove dpr-secret
    """
    with _changing(file, name, yes=yes) as accounts:
        accounts.remove(secret)
        click.echo(f"removed {secret}")


@credentials.command("refresh")
@spec_options
@click.option(
    "--secret", "secrets", multiple=True, help="Only the account in this Secret; may be repeated.  [default: all]"
)
@changing_option
def refresh(file: Path | None, name: str | None, *, secrets: tuple[str, ...], yes: bool) -> None:
    """Read the files again and get new tokens now.

    \b
    sandbox credentials refresh
    """
    with _changing(file, name, yes=yes) as accounts:
        renewed = accounts.refresh(secrets)
        for secret in renewed.done:
            click.echo(f"renewed {_line(secret, accounts.known(secret))}")
    first, *others = renewed.failed.values() or (None,)
    for error in others:
        click.echo(error, err=True)
    if first is not None:
        raise first


@contextmanager
def _changing(file: Path | None, name: str | None, *, yes: bool) -> Iterator[PodAccounts]:
    begin("stopping")
    from sandbox.app.pod_accounts import PodAccounts

    sandbox = sandbox_of(file, name, yes=yes)
    with sandbox.alone("credentials"):
        yield PodAccounts.of(sandbox.spec)


def _entry(kind: str, given: Mapping[str, Any]) -> Credentials:
    """Return the entry that the options describe. Raises UsageError for options that the kind does not have."""
    from pydantic import TypeAdapter, ValidationError
    from pydantic_core import to_json

    from sandbox.config.schema.credentials_schema import Credentials

    said: dict[str, Any] = {key: value for key, value in given.items() if value and key != "source"}
    if given["source"]:
        said["file"] = given["source"].absolute()
    if kind == "acr" and len(said.get("registries", ())) == 1:
        (said["registry"],) = said.pop("registries")
    try:
        found: Credentials = TypeAdapter(Credentials).validate_json(to_json({"kind": kind, **said}))
    except ValidationError as error:
        raise UsageError(
            "; ".join(
                _reason(kind, one["type"], str(one["loc"][1]), one["msg"]) for one in error.errors(include_input=False)
            )
        ) from None
    return found


def _reason(kind: str, problem: str, field: str, message: str) -> str:
    option = _OPTIONS.get(field, f"--{field}")
    if problem == "extra_forbidden":
        return f"{kind} takes no {option}"
    if problem == "missing":
        return f"{kind} needs one {option}"
    return f"{option} {message.removeprefix('Value error, ')}"


def _line(secret: str, one: Held) -> str:
    until = one.validity.expires
    ends = f"until {until.astimezone():%Y-%m-%d %H:%M}" if until else "does not expire"
    where = "all namespaces" if one.entry.namespaces == "all" else ", ".join(one.entry.namespaces)
    return f"{secret}   {one.entry.kind}   {', '.join(one.registries)}   {where}   {ends}"


def _row(secret: str, one: Held) -> Account:
    expires = one.validity.expires
    return Account(
        secret=secret,
        kind=one.entry.kind,
        registries=one.registries,
        namespaces=one.entry.namespaces,
        file=str(one.entry.file) if one.entry.file else None,
        origin=one.origin,
        expires=expires.isoformat() if expires else None,
    )
