"""What a sandbox.yaml may say about certificates: who issues them, the default one, and those of single Secrets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from sandbox.config.model import Model, key
from sandbox.config.schema.values import Host, Label, LocalPath, Subdomain, Unique


@dataclass(frozen=True, kw_only=True)
class Certificate(Model):
    """A TLS Secret with a certificate of its own, for exactly its hosts."""

    secret: Subdomain = key(description="The name of the TLS Secret.")
    namespace: Label = key(default="default", description="The namespace of the Secret.")
    hosts: Annotated[tuple[Host, ...], Unique] = key(
        min_length=1, description="The certificate's host names, each inside the sandbox's domain."
    )


@dataclass(frozen=True, kw_only=True)
class KeyPairFiles(Model):
    """A certificate of your own, in PEM."""

    cert: LocalPath = key(description="The certificate, followed by those of its issuers.")
    key: LocalPath = key(description="Its private key, without a passphrase.")


@dataclass(frozen=True, kw_only=True)
class Certs(Model):
    """The certificates: who issues them, and which there are besides the default one."""

    issuer: Literal["sandbox", "cert-manager"] = key(
        default="sandbox", description="What issues certificates: the sandbox itself, or cert-manager in the cluster."
    )
    default: KeyPairFiles | None = key(
        default=None, description="The default certificate, if it is not to be one of the sandbox's own CA."
    )
    secrets: tuple[Certificate, ...] = key(default=(), description="TLS Secrets with their own certificates.")
