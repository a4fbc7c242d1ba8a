"""What a sandbox.yaml says about accounts at other registries: which file, which registries, which namespaces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from sandbox.config.model import Kinds, Limits, Model, Prepared, key, matching
from sandbox.config.schema.values import Label, LocalPath, RegistryHost, Subdomain, Unique


def _expanded(value: Any) -> Any:
    """Return a path with `~/` expanded: keys live in the home folder."""
    return str(Path.home() / value[2:]) if isinstance(value, str) and value.startswith("~/") else value


HomePath = Annotated[LocalPath, Prepared(_expanded, written=str)]
AwsAccount = Annotated[str, matching("[0-9]{12}", "must be an AWS account of 12 digits, in quotes")]
Hosts = Annotated[tuple[RegistryHost, ...], Unique]
Namespaces = Literal["all"] | Annotated[tuple[Label, ...], Limits(min_length=1), Unique]


@dataclass(frozen=True, kw_only=True)
class _Credentials(Model):
    namespaces: Namespaces = key(
        default="all",
        description="The namespaces whose pods may pull with it, whenever they are made; all but the system's own.",
    )


@dataclass(frozen=True, kw_only=True)
class Docker(_Credentials):
    """The accounts of `docker login`."""

    kind: Literal["docker"] = key(description="Accounts of `docker login`; its credential helpers run on this machine.")
    secret: Subdomain = key(default="dpr-secret", description="The name of the Secret.")
    file: HomePath | None = key(default=None, description="Docker's config.json.  [default: ~/.docker/config.json]")
    registries: Hosts = key(default=(), description="Only these, HOST or HOST:PORT; by default all of the file's.")


@dataclass(frozen=True, kw_only=True)
class Gcr(_Credentials):
    """An account of Google Cloud."""

    kind: Literal["gcr"] = key(description="Google's Container Registry and Artifact Registry.")
    secret: Subdomain = key(default="gcr-secret", description="The name of the Secret.")
    file: HomePath | None = key(
        default=None,
        description="The key of a service account, application-default credentials, or a workload identity.  "
        "[default: those of $GOOGLE_APPLICATION_CREDENTIALS, or gcloud's]",
    )
    registries: Hosts = key(default=(), description="By default gcr.io, *.gcr.io and *.pkg.dev.")


@dataclass(frozen=True, kw_only=True)
class Ecr(_Credentials):
    """An account of AWS."""

    kind: Literal["ecr"] = key(description="AWS's Elastic Container Registry.")
    secret: Subdomain = key(default="awsecr-cred", description="The name of the Secret.")
    file: HomePath | None = key(
        default=None,
        description="AWS's credentials file, or the JSON of `aws configure export-credentials`.  "
        "[default: as the AWS command line, with its sign-in by SSO]",
    )
    profile: str | None = key(default=None, description="The profile in AWS's files.")
    role: str | None = key(default=None, description="The ARN of a role to assume.")
    region: str | None = key(default=None, description="The region of the registries.  [default: the profile's]")
    accounts: Annotated[tuple[AwsAccount, ...], Unique] = key(
        default=(), description="The accounts whose registries are meant; by default the one of the keys."
    )


@dataclass(frozen=True, kw_only=True)
class Acr(_Credentials):
    """An account of Azure."""

    kind: Literal["acr"] = key(description="Azure's Container Registry.")
    secret: Subdomain = key(default="acr-secret", description="The name of the Secret.")
    registry: RegistryHost = key(
        description="The registry, such as demo.azurecr.io; its host ends in azurecr.io, .cn or .us."
    )
    file: HomePath | None = key(
        default=None,
        description="The JSON of `az ad sp create-for-rbac`.  [default: $AZURE_TENANT_ID, $AZURE_CLIENT_ID and "
        "$AZURE_CLIENT_SECRET or $AZURE_FEDERATED_TOKEN_FILE; without these, the account of `az login`]",
    )


Credentials = Annotated[Docker | Gcr | Ecr | Acr, Kinds("kind", docker=Docker, gcr=Gcr, ecr=Ecr, acr=Acr)]
