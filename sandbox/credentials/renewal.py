"""Renews what is kept in a cluster before it ends, from the files on this machine."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sandbox.credentials.delivery import Delivery
from sandbox.credentials.mint import mint
from sandbox.credentials.secret import Held
from sandbox.errors import SandboxError


@dataclass(frozen=True)
class Renewed:
    """What came of it, by the Secret's name."""

    done: tuple[str, ...]
    failed: Mapping[str, SandboxError]


def renew(delivery: Delivery, held: Collection[Held], environ: Mapping[str, str], *, now: datetime) -> Renewed:
    """Renew all of `held`; one that fails does not keep the others. Raises ClusterError."""
    done: list[str] = []
    failed: dict[str, SandboxError] = {}
    for one in held:
        try:
            login = mint(one.entry, environ, now=now)
        except SandboxError as error:
            failed[one.entry.secret] = error
        else:
            delivery.keep(one.entry, login, one.origin)
            done.append(one.entry.secret)
    if done:
        delivery.spread()
    return Renewed(tuple(done), failed)
