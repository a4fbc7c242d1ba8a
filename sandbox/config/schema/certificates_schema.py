"""What a sandbox.yaml may say about certificates: who issues them, the default one, and those of single Secrets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sandbox.config.model import Document
from sandbox.config.schema.values import Host, Label, LocalPath, Subdomain, Unique


class Certificate(Document):
    """A TLS Secret with a certificate of its own, for exactly its hosts."""

    secret: Subdomain = Field(description="The name of the TLS Secret.")
    namespace: Label = Field(default="default", description="The namespace of the Secret.")
    hosts: Annotated[tuple[Host, ...], Unique] = Field(
        min_length=1, description="The certificate's host names, each inside the sandbox's domain."
    )


class KeyPairFiles(Document):
    """A certificate of your own, in PEM."""

    cert: LocalPath = Field(description="The certificate, followed by those of its issuers.")
    key: LocalPath = Field(description="Its private key, without a passphrase.")


class Certs(Document):
    """The certificates: who issues them, and which there are besides the default one."""

    issuer: Literal["sandbox", "cert-manager"] = Field(
        default="sandbox", description="What issues certificates: the sandbox itself, or cert-manager in the cluster."
    )
    default: KeyPairFiles | None = Field(
        default=None, description="The default certificate, if it is not to be one of the sandbox's own CA."
    )
    secrets: tuple[Certificate, ...] = Field(default=(), description="TLS Secrets with their own certificates.")
