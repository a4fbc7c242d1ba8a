"""`sandbox credentials`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError

from sandbox.cli import command_context, session
from sandbox.cli.options import find_spec
from sandbox.components.credentials.kept_secret import Held
from sandbox.components.credentials.pull_secrets import PullSecrets
from sandbox.components.credentials.registry_accounts import mint, resolved
from sandbox.components.credentials.renewal_daemon import renew
from sandbox.components.credentials.steps import CredentialsStep
from sandbox.config.schema import Spec
from sandbox.config.schema.credentials_schema import Credentials
from sandbox.engine import Engine
from sandbox.errors import SandboxError, UsageError
from sandbox.kube.api import Cluster
from sandbox.names import SYSTEM_NAMESPACE
from sandbox.plan import providers

IGNORED = "only what the spec lists or `sandbox credentials add` gave on this machine is requested and renewed"

_ADAPTER: TypeAdapter[Credentials] = TypeAdapter(Credentials)


@dataclass(frozen=True)
class _Work:
    """A sandbox that is up, and what brings accounts to it."""

    spec: Spec
    delivery: PullSecrets
    step: CredentialsStep

    @classmethod
    def of(cls, spec: Spec) -> _Work:
        """Raises SandboxError when it is not up, or not in a cluster of its own."""
        session.require_own_cluster(spec, "an account for pods")
        names = command_context.home().sandbox(spec.name)
        if not names.kubeconfig.exists() or not Cluster(names.kubeconfig).is_up():
            raise SandboxError(f"{spec.name} is not up", fix="sandbox up", id="not-up")
        nodes = providers.nodes(Engine.connect(), names)
        return cls(spec, PullSecrets.of(names), CredentialsStep(nodes, names, spec.credentials, os.environ))

    def known(self, secret: str) -> Held:
        """What is kept under that name. Raises UsageError."""
        held = self.delivery.held()
        if secret not in held:
            if secret in self.delivery.ignored():
                raise UsageError(
                    f"the Secret '{secret}' in {SYSTEM_NAMESPACE} is not from a command of this user",
                    details=IGNORED,
                    fix=f"sandbox credentials add, with --secret {secret}, or for one of sandbox.yaml: sandbox up",
                )
            fix = f"there are: {', '.join(held)}" if held else "sandbox credentials add"
            raise UsageError(f"{self.spec.name} has no credentials '{secret}'", fix=fix)
        return held[secret]

    def listed(self, secret: str) -> bool:
        """Whether the spec has them."""
        return any(entry.secret == secret for entry in self.spec.credentials)


def add(ctx: click.Context, /, kind: str, file: Path | None, name: str | None, **given: Any) -> int:
    """Add accounts of KIND until `remove` or `down`; `credentials:` in sandbox.yaml is for those that should stay."""
    with _changing(ctx, file, name) as work:
        entry = resolved(_entry(kind, given), os.environ)
        if work.listed(entry.secret):
            raise UsageError(f"sandbox.yaml has the credentials '{entry.secret}'", fix="give --secret another name")
        work.delivery.keep(entry, mint(entry, os.environ, now=datetime.now(UTC)), "command")
        work.step.deliver()
        click.echo(_line(entry.secret, work.known(entry.secret)))
    return 0


def list_(ctx: click.Context, file: Path | None, name: str | None, *, output: str) -> int:
    """List which accounts the cluster has, for whom and until when. Shows no secret."""
    command_context.start_log(verbose=ctx.obj)
    spec = find_spec(file, name)
    delivery = _Work.of(spec).delivery
    held, ignored = delivery.held(), delivery.ignored()
    if output == "json":
        rows = [_row(secret, one) for secret, one in sorted(held.items())]
        click.echo(json.dumps({"name": spec.name, "credentials": rows, "ignored": ignored}, indent=2))
        return 0
    for secret, one in sorted(held.items()):
        click.echo(_line(secret, one))
    if not held:
        click.echo("none; sandbox credentials add gives some", err=True)
    for secret in ignored:
        click.echo(f"ignored: the Secret {secret} in {SYSTEM_NAMESPACE}; {IGNORED}", err=True)
    return 0


def remove(ctx: click.Context, secret: str, file: Path | None, name: str | None) -> int:
    """Take the accounts in SECRET from every namespace."""
    with _changing(ctx, file, name) as work:
        if secret not in work.delivery.ignored():
            work.known(secret)
        if work.listed(secret):
            raise UsageError(f"sandbox.yaml has the credentials '{secret}'", fix="take them out there, then sandbox up")
        work.delivery.forget([secret])
        work.step.deliver()
        click.echo(f"removed {secret}")
    return 0


def refresh(ctx: click.Context, file: Path | None, name: str | None, *, secrets: tuple[str, ...]) -> int:
    """Read the files again and get new tokens, whether or not the present ones are about to end."""
    with _changing(ctx, file, name) as work:
        wanted = [work.known(secret) for secret in secrets] or list(work.delivery.held().values())
        renewed = renew(work.delivery, wanted, os.environ, now=datetime.now(UTC))
        work.step.deliver()
        for secret in renewed.done:
            click.echo(f"renewed {_line(secret, work.known(secret))}")
    first, *others = renewed.failed.values() or (None,)
    for error in others:
        click.echo(error, err=True)
    if first is not None:
        raise first
    return 0


@contextmanager
def _changing(ctx: click.Context, file: Path | None, name: str | None) -> Iterator[_Work]:
    command_context.start_log(verbose=ctx.obj)
    command_context.catch_signals()
    spec = find_spec(file, name)
    with session.alone(spec.name):
        yield _Work.of(spec)


def _entry(kind: str, given: Mapping[str, Any]) -> Credentials:
    """The entry that the options describe. Raises UsageError for one that the kind has not."""
    said: dict[str, Any] = {key: value for key, value in given.items() if value and key != "source"}
    if given["source"]:
        said["file"] = given["source"].absolute()
    if kind == "acr" and len(said.get("registries", ())) == 1:
        (said["registry"],) = said.pop("registries")
    try:
        return _ADAPTER.validate_python({"kind": kind, **said})
    except ValidationError as error:
        raise UsageError(
            "; ".join(
                _reason(kind, one["type"], str(one["loc"][1]), one["msg"]) for one in error.errors(include_input=False)
            )
        ) from None


def _reason(kind: str, problem: str, field: str, message: str) -> str:
    option = _OPTIONS.get(field, f"--{field}")
    if problem == "extra_forbidden":
        return f"{kind} takes no {option}"
    if problem == "missing":
        return f"{kind} needs one {option}"
    return f"{option} {message.removeprefix('Value error, ')}"


_OPTIONS = {"registries": "--registry", "accounts": "--account", "namespaces": "--namespace", "file": "--from"}


def _line(secret: str, one: Held) -> str:
    until = one.validity.expires
    ends = f"until {until.astimezone():%Y-%m-%d %H:%M}" if until else "does not end"
    where = "all namespaces" if one.entry.namespaces == "all" else ", ".join(one.entry.namespaces)
    return f"{secret}   {one.entry.kind}   {', '.join(one.registries)}   {where}   {ends}"


def _row(secret: str, one: Held) -> dict[str, Any]:
    expires = one.validity.expires
    return {
        "secret": secret,
        "kind": one.entry.kind,
        "registries": one.registries,
        "namespaces": one.entry.namespaces,
        "file": str(one.entry.file) if one.entry.file else None,
        "from": one.origin,
        "expires": expires.isoformat() if expires else None,
    }
