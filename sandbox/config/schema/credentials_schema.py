"""What a sandbox.yaml says about accounts at other registries: which file, which registries, which namespaces."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field

from sandbox.config.model import Document, matching
from sandbox.config.schema.values import Label, LocalPath, RegistryHost, Subdomain, Unique

AwsAccount = Annotated[str, *matching("[0-9]{12}", "must be an AWS account of 12 digits, in quotes")]
Hosts = Annotated[tuple[RegistryHost, ...], Unique]
Namespaces = Literal["all"] | Annotated[tuple[Label, ...], Field(min_length=1), Unique]


class _Credentials(Document):
    namespaces: Namespaces = Field(
        default="all",
        description="The only namespaces whose pods may pull with it, by a Secret; they are created.",
    )


class Docker(_Credentials):
    """The accounts of `docker login`."""

    kind: Literal["docker"] = Field(
        description="Accounts of `docker login`; its credential helpers run on this machine."
    )
    secret: Subdomain = Field(default="dpr-secret", description="Its name, and that of its Secrets.")
    file: LocalPath | None = Field(default=None, description="Docker's config.json.  [default: ~/.docker/config.json]")
    registries: Hosts = Field(default=(), description="Only these, HOST or HOST:PORT; by default all of the file's.")


class Gcr(_Credentials):
    """An account of Google Cloud."""

    kind: Literal["gcr"] = Field(description="Google's Container Registry and Artifact Registry.")
    secret: Subdomain = Field(default="gcr-secret", description="Its name, and that of its Secrets.")
    file: LocalPath | None = Field(
        default=None,
        description="The key of a service account, application-default credentials, or a workload identity.  "
        "[default: those of $GOOGLE_APPLICATION_CREDENTIALS, or gcloud's]",
    )
    registries: Hosts = Field(default=(), description="By default gcr.io, *.gcr.io and *.pkg.dev.")


class Ecr(_Credentials):
    """An account of AWS."""

    kind: Literal["ecr"] = Field(description="AWS's Elastic Container Registry.")
    secret: Subdomain = Field(default="awsecr-cred", description="Its name, and that of its Secrets.")
    file: LocalPath | None = Field(
        default=None,
        description="AWS's credentials file, or the JSON of `aws configure export-credentials`.  "
        "[default: as the AWS command line, with its sign-in by SSO]",
    )
    profile: str | None = Field(default=None, description="The profile in AWS's files.")
    role: str | None = Field(default=None, description="The ARN of a role to assume.")
    region: str | None = Field(default=None, description="The region of the registries.  [default: the profile's]")
    accounts: Annotated[tuple[AwsAccount, ...], Unique] = Field(
        default=(), description="The accounts whose registries are meant; by default the one of the keys."
    )


class Acr(_Credentials):
    """An account of Azure."""

    kind: Literal["acr"] = Field(description="Azure's Container Registry.")
    secret: Subdomain = Field(default="acr-secret", description="Its name, and that of its Secrets.")
    registry: RegistryHost = Field(
        description="The registry, such as demo.azurecr.io; its host ends in azurecr.io, .cn or .us."
    )
    file: LocalPath | None = Field(
        default=None,
        description="The JSON of `az ad sp create-for-rbac`.  [default: $AZURE_TENANT_ID, $AZURE_CLIENT_ID and "
        "$AZURE_CLIENT_SECRET; without these, the account of `az login`]",
    )


Credentials = Annotated[Docker | Gcr | Ecr | Acr, Discriminator("kind")]
