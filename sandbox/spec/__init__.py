"""What a sandbox.yaml may say: every key, its meaning, its default and what is refused, as frozen models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sandbox import document
from sandbox.errors import UsageError
from sandbox.spec.values import (
    Address,
    Domain,
    Host,
    Label,
    LocalPath,
    Name,
    Nameserver,
    OneNode,
    Port,
    Release,
    Subdomain,
    Unique,
)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Cluster(_Model):
    """The Kubernetes cluster."""

    provider: Literal["kind"] = Field(default="kind", description="What runs the cluster.")
    kubernetes: Release | None = Field(
        default=None,
        description="The Kubernetes version, such as v1.36.3; by default the one this release of sandbox is made for.",
    )
    nodes: OneNode = Field(default=1, description="How many nodes; one for now.")


class Images(_Model):
    """The sandbox's own images: node, registry, ingress, proxy."""

    source: Literal["auto", "upstream", "bundle"] = Field(
        default="auto",
        description="Where the sandbox's own images come from: their upstream registries, a bundle built or loaded "
        "on this machine, or whichever works.",
    )


class Registry(_Model):
    """The sandbox's private image registry, plain HTTP."""

    port: Port = Field(default=5001, description="The registry's port on 127.0.0.1; images are localhost:PORT/NAME.")


class Ingress(_Model):
    """What routes HTTPS to services by host name."""

    controller: Literal["traefik", "nginx", "none"] = Field(
        default="traefik",
        description="The ingress controller: Traefik, the archived ingress-nginx, or none, when you bring your own.",
    )
    gateway_api: bool = Field(
        default=False, description="Whether the controller also serves the Gateway API; Traefik's only."
    )


class Proxy(_Model):
    """The TLS proxy that brings the host's ports to the ingress."""

    listen: Address = Field(
        default="127.0.0.1", description="The host's address to listen on; 0.0.0.0 lets the whole network in."
    )
    ports: Annotated[tuple[Port, ...], Unique] = Field(
        default=(443, 8443),
        min_length=1,
        max_length=4,
        description="The host's ports to listen on, all of them for HTTPS.",
    )


class Network(_Model):
    """How pods reach the outside."""

    nameservers: Literal["auto"] | Annotated[tuple[Nameserver, ...], Field(min_length=1, max_length=3), Unique] = Field(
        default="auto",
        description="The nameservers pods resolve outside names with, three at most; auto takes the host's own, or "
        "public ones where pods cannot reach those.",
    )


class Certificate(_Model):
    """A TLS Secret with a certificate of its own, for exactly its hosts."""

    secret: Subdomain = Field(description="The name of the TLS Secret.")
    namespace: Label = Field(default="default", description="The namespace of the Secret.")
    hosts: Annotated[tuple[Host, ...], Unique] = Field(
        min_length=1, description="The certificate's host names, each inside the sandbox's domain."
    )


class KeyPairFiles(_Model):
    """A certificate of your own, in PEM."""

    cert: LocalPath = Field(description="The certificate, followed by those of its issuers.")
    key: LocalPath = Field(description="Its private key, without a passphrase.")


class Certs(_Model):
    """The certificates: who issues them, and which there are beside the default one."""

    issuer: Literal["sandbox", "cert-manager"] = Field(
        default="sandbox", description="Who issues: the sandbox itself, or cert-manager in the cluster."
    )
    default: KeyPairFiles | None = Field(
        default=None, description="The default certificate, when it is not to be one of the sandbox's own authority."
    )
    secrets: tuple[Certificate, ...] = Field(default=(), description="TLS Secrets with certificates of their own.")


class Spec(_Model):
    """A sandbox: its cluster, registry, certificates and ways in and out."""

    apiVersion: Literal["sandbox.dev/v1"] = Field(default="sandbox.dev/v1", description="The version of this format.")
    name: Name = Field(
        default="sandbox",
        description="The sandbox's name: in its containers, its kubectl context and its domain.",
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
    apply: tuple[LocalPath, ...] = Field(
        default=(), description="Files or folders of manifests to apply, in this order, relative to this file's folder."
    )

    @classmethod
    def default(cls, name: str) -> Self:
        """The spec of the sandbox `name` with nothing else said; raises UsageError for a name that cannot be one."""
        try:
            return cls(name=name)
        except ValidationError as error:
            raise UsageError(f"the name {name!r} {error.errors()[0]['ctx']['error']}") from error

    @model_validator(mode="after")
    def _fits(self) -> Self:
        misfits = [*self._outside_domain(), *self._same_secret(), *self._same_port()]
        if misfits:
            raise document.Misfits(*misfits)
        return self

    def _outside_domain(self) -> list[tuple[tuple[str | int, ...], str]]:
        return [
            (("certs", "secrets", index, "hosts", place), f"'{host}' is not inside the domain '{self.domain}'")
            for index, certificate in enumerate(self.certs.secrets)
            for place, host in enumerate(certificate.hosts)
            if host != self.domain and not host.endswith("." + self.domain)
        ]

    def _same_secret(self) -> list[tuple[tuple[str | int, ...], str]]:
        secrets = [(certificate.namespace, certificate.secret) for certificate in self.certs.secrets]
        return [
            (("certs", "secrets", index, "secret"), f"'{secret[1]}' is given twice in the namespace '{secret[0]}'")
            for index, secret in enumerate(secrets)
            if secret in secrets[:index]
        ]

    def _same_port(self) -> list[tuple[tuple[str | int, ...], str]]:
        port = self.registry.port
        if port not in self.proxy.ports:
            return []
        if "port" in self.registry.model_fields_set:
            return [(("registry", "port"), f"{port} is one of the proxy's ports; choose another")]
        return [(("proxy", "ports", self.proxy.ports.index(port)), f"{port} is the registry's port; choose another")]


def load(path: Path) -> Spec:
    """The spec in the file `path`, its own paths made absolute from the file's folder; raises UsageError."""
    spec = document.load(path, Spec, create="`sandbox init` writes one; -f FILE names another")
    folder = path.parent.absolute()
    default = spec.certs.default and KeyPairFiles(
        cert=folder / spec.certs.default.cert, key=folder / spec.certs.default.key
    )
    return spec.model_copy(
        update={
            "certs": spec.certs.model_copy(update={"default": default}),
            "push": folder / spec.push if spec.push else None,
            "apply": tuple(folder / each for each in spec.apply),
        }
    )


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a sandbox.yaml, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Spec.model_json_schema(),
        "title": "sandbox.yaml",
    }
