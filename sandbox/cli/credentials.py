"""`sandbox credentials`: the accounts at other registries that pods have."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import click
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from sandbox.app import chosen_spec, context
from sandbox.app.views.known_sandboxes import require_up
from sandbox.cli.app import Group
from sandbox.cli.options import Call, begin, change_options, output_option, spec_options
from sandbox.components.credentials.login_delivery import PodLogin
from sandbox.components.credentials.pod_credentials import PodCredentials
from sandbox.components.credentials.registry_accounts import resolved
from sandbox.config.schema import Spec
from sandbox.config.schema.credentials_schema import Credentials
from sandbox.engine import Engine
from sandbox.errors import UsageError
from sandbox.plan import providers

_OPTIONS = {"registries": "--registry", "accounts": "--account", "namespaces": "--namespace", "file": "--from"}


@click.group("credentials", cls=Group)
def credentials() -> None:
    """Give pods your accounts at other registries.

    They are of docker, gcr, ecr and acr. All pods can pull with them, by the kubelet's own logins; or only those of the
    named namespaces, by a pull Secret of their service accounts. Keys stay on this machine: the cluster gets tokens,
    which a process renews before they expire. Only passwords of `docker login` enter the cluster unchanged.
    """


@dataclass(frozen=True)
class Account:
    """A login of pods at other registries; `origin` is the command or file that asked for it."""

    secret: str
    kind: str  # docker, gcr, ecr or acr
    registries: Sequence[str]
    namespaces: Literal["all"] | Sequence[str]
    file: str | None
    origin: str
    expires: str | None


@dataclass(frozen=True)
class Accounts:
    name: str
    credentials: Sequence[Account]


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
@change_options()
def add(kind: str, **given: Any) -> None:
    """Add accounts of KIND until `remove` or `down`; for permanent ones use `credentials:` in sandbox.yaml.

    \b
    sandbox credentials add docker --registry quay.io
    sandbox credentials add gcr --from key.json
    sandbox credentials add ecr --profile work --region eu-central-1
    sandbox credentials add acr --registry demo.azurecr.io --from principal.json
    """
    call, entry = begin("stopping"), _entry(kind, given)
    with _changing(call) as (spec, pods):
        entry = resolved(entry, context.environ())
        _require_not_in_spec(spec, entry.secret, "give --secret another name")
        pods.deliver(pods.requested(entry, "command", now=datetime.now(UTC)))
        click.echo(_line(_login(spec, pods, entry.secret)))


@credentials.command("list")
@spec_options
@output_option(Accounts)
def list_() -> None:
    """List the cluster's accounts, their namespaces and expiry. Shows no secret.

    \b
    sandbox credentials list
    sandbox credentials list -n demo -o json
    """
    call = begin()
    spec = call.sandbox().spec
    logins = [login for _, login in sorted(_pods(spec).logins().items())]
    accounts = [
        Account(
            secret=login.secret,
            kind=login.entry.kind,
            registries=login.registries,
            namespaces=login.entry.namespaces,
            file=str(login.entry.file) if login.entry.file else None,
            origin=login.origin,
            expires=login.expires.isoformat() if login.expires else None,
        )
        for login in logins
    ]
    call.show(
        Accounts(spec.name, accounts), map(_line, logins), none="no credentials; add some with: sandbox credentials add"
    )


@credentials.command("remove")
@click.argument("secret")
@spec_options
@change_options()
def remove(secret: str) -> None:
    """Remove the accounts that are listed as SECRET from all pods.

    \b
    sandbox credentials remove dpr-secret
    """
    with _changing(begin("stopping")) as (spec, pods):
        _require_not_in_spec(spec, _login(spec, pods, secret).secret, "remove them there, then `sandbox up`")
        pods.forget([secret])
        click.echo(f"removed {secret}")


@credentials.command("refresh")
@spec_options
@click.option(
    "--secret", "secrets", multiple=True, help="Only the account in this Secret; may be repeated.  [default: all]"
)
@change_options()
def refresh(*, secrets: tuple[str, ...]) -> None:
    """Read the files again and get new tokens now.

    \b
    sandbox credentials refresh
    """
    with _changing(begin("stopping")) as (spec, pods):
        logins = [_login(spec, pods, secret) for secret in secrets] or list(pods.logins().values())
        failed = pods.renew(logins, now=datetime.now(UTC))
        for login in logins:
            if login.secret not in failed:
                click.echo(f"renewed {_line(_login(spec, pods, login.secret))}")
    first, *others = failed.values() or (None,)
    for error in others:
        click.echo(error, err=True)
    if first is not None:
        raise first


@contextmanager
def _changing(call: Call) -> Iterator[tuple[Spec, PodCredentials]]:
    sandbox = call.sandbox()
    with sandbox.alone("credentials"):
        pods = _pods(sandbox.spec)
        yield sandbox.spec, pods
        pods.keep_renewed()


def _pods(spec: Spec) -> PodCredentials:
    chosen_spec.require_own_cluster(spec, "an account for pods")
    names = context.home().sandbox(spec.name)
    require_up(names)
    engine = Engine.connect()
    nodes = providers.nodes(engine, names)
    return PodCredentials(engine, nodes.running, names.kubeconfig, names.credentials, context.environ())


def _login(spec: Spec, pods: PodCredentials, secret: str) -> PodLogin:
    logins = pods.logins()
    if secret not in logins:
        fix = f"there are: {', '.join(logins)}" if logins else "sandbox credentials add"
        raise UsageError(f"{spec.name} has no credentials '{secret}'", fix=fix)
    return logins[secret]


def _require_not_in_spec(spec: Spec, secret: str, fix: str) -> None:
    if any(entry.secret == secret for entry in spec.credentials):
        raise UsageError(f"sandbox.yaml has the credentials '{secret}'", fix=fix)


def _entry(kind: str, given: Mapping[str, Any]) -> Credentials:
    fields: dict[str, Any] = {key: value for key, value in given.items() if value and key != "source"}
    if given["source"]:
        fields["file"] = given["source"].absolute()
    if kind == "acr" and len(fields.get("registries", ())) == 1:
        (fields["registry"],) = fields.pop("registries")
    try:
        entry: Credentials = TypeAdapter(Credentials).validate_json(to_json({"kind": kind, **fields}))
    except ValidationError as error:
        reasons = []
        for problem in error.errors(include_input=False):
            option = _OPTIONS.get(str(problem["loc"][1]), f"--{problem['loc'][1]}")
            if problem["type"] == "extra_forbidden":
                reasons.append(f"{kind} takes no {option}")
            elif problem["type"] == "missing":
                reasons.append(f"{kind} needs one {option}")
            else:
                reasons.append(f"{option} {problem['msg'].removeprefix('Value error, ')}")
        raise UsageError("; ".join(reasons), fix="see: sandbox credentials add --help") from None
    return entry


def _line(login: PodLogin) -> str:
    until = login.expires
    ends = f"until {until.astimezone():%Y-%m-%d %H:%M}" if until else "does not expire"
    where = ", ".join(login.namespaces) or "all namespaces"
    return f"{login.secret}   {login.entry.kind}   {', '.join(login.registries)}   {where}   {ends}"
