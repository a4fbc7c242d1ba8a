"""The registry that images go to, with all that the parts of one run share while they fill it."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

from sandbox.images.blob_inventory import Holdings
from sandbox.images.progress import Observer
from sandbox.oci.client import Client


@dataclass(frozen=True)
class Destination:
    """`client` speaks to it, `holdings` knows what it has; `observer` hears of what is done in threads of `pool`."""

    client: Client
    holdings: Holdings
    observer: Observer
    pool: Executor
