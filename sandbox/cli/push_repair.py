"""What `push-images --verify` does about harm in the sandbox's own registry: it puts it aside, to be pushed anew."""

from __future__ import annotations

from collections.abc import Callable, Collection

import click

from sandbox.cli import session
from sandbox.components.registry.container_step import RegistryStep
from sandbox.config.schema import Spec

Mend = Callable[[Collection[str]], None]


def mender(spec: Spec, registry: str | None) -> Mend | None:
    """What puts damaged blobs aside, by their digests; None for a registry that is not the sandbox's own container."""
    if registry or spec.registry.external or not spec.cluster.is_ours:
        return None

    def mend(digests: Collection[str]) -> None:
        steps, _, own = session.steps(spec)
        step = next(one for one in steps if isinstance(one, RegistryStep))
        with session.alone(spec.name):
            step.quarantine(digests, own.references["busybox"])
        click.echo(f"damaged in the registry, put aside and pushed anew: {', '.join(sorted(digests))}", err=True)

    return mend
