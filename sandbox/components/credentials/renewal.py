"""Renews what is kept in a cluster before it ends, from the files on this machine."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sandbox.components.credentials.kept_secret import Held
from sandbox.components.credentials.pull_secrets import Delivery
from sandbox.components.credentials.token_exchange import mint
from sandbox.errors import SandboxError
from sandbox.oci.credential import CredentialsUnusable


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
        except Exception as error:  # an answer that nobody foresaw; its text may hold a token
            brief = f"the account of {one.entry.secret} cannot be renewed: unexpected {type(error).__name__}"
            failed[one.entry.secret] = CredentialsUnusable(brief, fix="sandbox credentials refresh")
        else:
            delivery.place(one.entry, login)
            done.append(one.entry.secret)
    if done:
        delivery.spread()
    return Renewed(tuple(done), failed)
