"""From an entry of the spec to accounts, whichever service has to be asked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import assert_never

from sandbox.components.credentials import aws, aws_profile, azure, docker_login, gcp
from sandbox.components.credentials.registry_login import Login, matches
from sandbox.config.schema.credentials_schema import Acr, Credentials, Docker, Ecr, Gcr


def mint(entry: Credentials, environ: Mapping[str, str], *, now: datetime) -> Login:
    """The accounts that `entry` names. Raises CredentialsUnusable."""
    match entry:
        case Docker():
            return docker_login.login(entry, environ, now=now)
        case Gcr():
            return gcp.login(entry, environ, now=now)
        case Ecr():
            return aws.login(entry, environ, now=now)
        case Acr():
            return azure.login(entry, environ, now=now)
        case _:
            assert_never(entry)


def settled(entry: Credentials, environ: Mapping[str, str]) -> Credentials:
    """`entry` with what the environment decides written down, so that a renewal elsewhere means the same.

    Keys in the environment are left there.
    """
    match entry:
        case Docker(file=None):
            return entry.model_copy(update={"file": docker_login.default_file(environ).absolute()})
        case Gcr(file=None):
            return entry.model_copy(update={"file": gcp.default_file(environ).absolute()})
        case Ecr():
            return entry.model_copy(update=aws_profile.decided(entry, environ))
        case _:
            return entry


def may_know(entry: Credentials, host: str) -> bool:
    """Whether `entry` may have an account at `host[:port]`; tells without asking any service."""
    match entry:
        case Docker():
            return not entry.registries or host in entry.registries
        case Gcr():
            return any(matches(pattern, host) for pattern in entry.registries or gcp.REGISTRIES)
        case Ecr():
            account, _, rest = host.partition(".")
            return rest.startswith(("dkr.ecr.", "dkr-ecr.")) and (not entry.accounts or account in entry.accounts)
        case Acr():
            return host == entry.registry
        case _:
            assert_never(entry)
