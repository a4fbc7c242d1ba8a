"""`sandbox push-images --prune`: what would go, the question, the deletion, and how the space comes back."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from functools import cached_property

import click

from sandbox.cli.push_output import count
from sandbox.errors import SandboxError, UsageError
from sandbox.images.prune import Unlisted, prune, unlisted
from sandbox.images.target import Target
from sandbox.oci import address
from sandbox.oci.client import Client
from sandbox.oci.credential import Keychain

CONFIG = "/etc/distribution/config.yml"


class Pruning:
    """The tags of one registry, the sandbox `whose`'s if that is a name, that are not among `targets`."""

    def __init__(self, registry: str, keychain: Keychain | None, targets: Sequence[Target], whose: str = "") -> None:
        self._where = f"the registry of sandbox '{whose}' at {registry}" if whose else registry
        self._registry = registry
        self._keychain = keychain
        self._targets = targets

    @cached_property
    def _found(self) -> tuple[Unlisted, ...]:
        with Client(self._registry, keychain=self._keychain) as client:
            return unlisted(client, self._targets)

    @property
    def names(self) -> list[str]:
        """What would be deleted."""
        return [str(one) for one in self._found]

    def require_consent(self, *, yes: bool) -> None:
        """Raise UsageError, before anything is pushed, when there will be nobody to ask."""
        if not yes and not has_terminal():
            lines = "\n".join(self.names) or "nothing: every tag is in the manifest"
            brief = "--prune asks before it deletes, and here is no terminal"
            raise UsageError(brief, details=lines, fix="add --yes", id="consent")

    def carry_out(self, *, yes: bool) -> list[str]:
        """List, ask, delete; the names of what is gone. Whatever the push has just added is in the manifest."""
        if not self._found:
            click.echo("nothing to prune: the manifest names every tag of the registry", err=True)
            return []
        click.echo(f"the manifest does not name, in {self._where}:", err=True)
        for name in self.names:
            click.echo(f"  {name}", err=True)
        if not yes and not click.confirm(f"delete {count(len(self.names), 'tag')} from {self._where}?", err=True):
            click.echo("nothing was deleted", err=True)
            return []
        with Client(self._registry, keychain=self._keychain) as client:
            prune(client, self._found, self._targets)
        name = self._container()
        click.echo(
            f"deleted {count(len(self.names), 'tag')}; to have the space back, while nothing is pushed:", err=True
        )
        # A registry that is not restarted still claims, from its cache, to have what was collected.
        click.echo(f"  docker exec {name} registry garbage-collect {CONFIG} && docker restart {name}", err=True)
        return self.names

    def _container(self) -> str:
        where = address.parse(self._registry)
        if where.is_loopback:
            with contextlib.suppress(SandboxError):
                from sandbox.engine import Engine

                return Engine.connect().publisher(where.port) or "CONTAINER"
        return "CONTAINER"


def has_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()
