"""The tags of a registry that a manifest of images does not name, found once and deleted on demand."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from sandbox.errors import SandboxError
from sandbox.images.prune import Unlisted, prune, unlisted
from sandbox.images.target import Target
from sandbox.oci import address
from sandbox.oci.client import Client
from sandbox.oci.credential import Keychain

CONFIG = "/etc/distribution/config.yml"


@dataclass(frozen=True)
class Pruning:
    """The tags of one registry, the sandbox `whose`'s if that is a name, that are not among `targets`."""

    registry: str
    keychain: Keychain | None
    targets: Sequence[Target]
    whose: str = ""

    @property
    def where(self) -> str:
        """The registry, for people."""
        return f"the registry of sandbox '{self.whose}' at {self.registry}" if self.whose else self.registry

    @cached_property
    def _found(self) -> tuple[Unlisted, ...]:
        with Client(self.registry, keychain=self.keychain) as client:
            return unlisted(client, self.targets)

    @property
    def names(self) -> list[str]:
        """What would be deleted."""
        return [str(one) for one in self._found]

    def delete(self) -> None:
        """Delete them. Raises SandboxError."""
        with Client(self.registry, keychain=self.keychain) as client:
            prune(client, self._found, self.targets)

    def collection(self) -> str:
        """Make the command that gives the space back, while nothing is pushed."""
        name = self._container()
        # A registry that is not restarted still claims, from its cache, to have what was collected.
        return f"docker exec {name} registry garbage-collect {CONFIG} && docker restart {name}"

    def _container(self) -> str:
        where = address.parse(self.registry)
        if where.is_loopback:
            with contextlib.suppress(SandboxError):
                from sandbox.engine import Engine

                return Engine.connect().publisher(where.port) or "CONTAINER"
        return "CONTAINER"
