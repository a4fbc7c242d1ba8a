"""All that a sandbox.yaml may say, as one frozen model: every key with its meaning and its default."""

from __future__ import annotations

from typing import Self

from pydantic import Field, ValidationError, model_validator

from sandbox.config import loader
from sandbox.config.api_version import CURRENT, Format
from sandbox.config.rules import misfits
from sandbox.config.schema.addons_schema import Addons
from sandbox.config.schema.apply_schema import Applied
from sandbox.config.schema.certificates_schema import Certs
from sandbox.config.schema.cluster_schema import Cluster, Images
from sandbox.config.schema.credentials_schema import Credentials
from sandbox.config.schema.edge_schema import Proxy
from sandbox.config.schema.ingress_schema import Ingress
from sandbox.config.schema.model import Model
from sandbox.config.schema.network_schema import Network
from sandbox.config.schema.registry_schema import Registry
from sandbox.config.schema.values import Domain, LocalPath, Name
from sandbox.errors import UsageError


class Spec(Model):
    """A sandbox: its cluster, registry, certificates and ways in and out."""

    apiVersion: Format = Field(default=CURRENT, description="The version of this format.")
    name: Name = Field(
        default="sandbox",
        description="The sandbox's name: in its containers, its kubectl context and its domain; by default that of "
        "this file's folder.",
    )
    domain: Domain = Field(
        default_factory=lambda fields: f"{fields['name']}.sandbox.localhost",
        description="The domain whose hosts the sandbox answers; by default NAME.sandbox.localhost.",
    )
    cluster: Cluster = Field(default=Cluster(), description="The Kubernetes cluster.")
    images: Images = Field(default=Images(), description="The sandbox's own images.")
    registry: Registry = Field(default=Registry(), description="The private image registry.")
    push: LocalPath | None = Field(
        default=None, description="The manifest of images to push into the registry, relative to this file's folder."
    )
    ingress: Ingress = Field(default=Ingress(), description="What routes HTTPS to services by host name.")
    proxy: Proxy = Field(default=Proxy(), description="The TLS proxy on the host's ports.")
    network: Network = Field(default=Network(), description="How pods reach the outside.")
    certs: Certs = Field(default=Certs(), description="The certificates.")
    credentials: tuple[Credentials, ...] = Field(
        default=(), description="Accounts at other registries, for pods and for the images that are pushed."
    )
    addons: Addons = Field(
        default=(), description="What else the cluster is to have: names and folders of addons, or addon and values."
    )
    apply: Applied = Field(
        default=(),
        description="What to apply, relative to this file's folder: files and folders of manifests in this order, "
        "and folders with a kustomization.",
    )

    @property
    def vouched(self) -> tuple[str, ...]:
        """The domains that certificates are issued for: the sandbox's, and hosts outside it that end at the proxy."""
        ending = (one.host for one in self.proxy.hosts if one.ends)
        outside = (host for host in ending if host != self.domain and not host.endswith("." + self.domain))
        return tuple(dict.fromkeys((self.domain, *outside)))

    @property
    def namespace(self) -> str | None:
        """The only namespace that is the sandbox's to use; None where the whole cluster is."""
        return None if self.cluster.is_ours else self.cluster.namespace or f"sandbox-{self.name}"

    @property
    def runs_process(self) -> bool:
        """Whether the proxy is a process, since no container may or can reach the cluster."""
        return self.proxy.run == "process" or not self.cluster.is_ours

    @classmethod
    def default(cls, name: str) -> Self:
        """The spec of the sandbox `name` with nothing else said; raises UsageError for a name that cannot be one."""
        try:
            return cls(name=name)
        except ValidationError as error:
            raise UsageError(f"the name {name!r} {error.errors()[0]['ctx']['error']}") from error

    @model_validator(mode="after")
    def _fits(self) -> Self:
        found = misfits(self)
        if found:
            raise loader.Misfits(*found)
        return self
