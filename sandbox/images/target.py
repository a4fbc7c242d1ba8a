"""Where an image goes in the sandbox's registry: repository and tag, without a host."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.errors import UsageError
from sandbox.oci import reference as references
from sandbox.oci.reference import DOCKER_HUB, Reference


@dataclass(frozen=True)
class Target:
    """A repository and the tag the image gets in it; an image that was named by digest alone gets no tag."""

    repository: str
    tag: str | None
    digest: str | None = None

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}" if self.tag else f"{self.repository}@{self.digest}"


def of(reference: Reference) -> Target:
    """Return the target an image has by default: its own path and tag, as people write them."""
    full = reference.with_default_tag()
    return Target(full.familiar_path, full.tag, None if full.tag else full.digest)


def parse(text: str) -> Target:
    """Read `repository[:tag]`. Raises UsageError when there is a registry host or a digest in it."""
    reference = references.parse(text)
    if reference.host != DOCKER_HUB or reference.digest:
        raise UsageError(
            f"{text!r} does not name a place in the sandbox's registry",
            details="it has a registry host or a digest",
            fix="write only the repository and the tag, such as team/app:dev",
        )
    return of(reference)
