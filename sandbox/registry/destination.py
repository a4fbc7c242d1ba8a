"""The registry that images go to, with all that the parts of one run share while they fill it."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

from sandbox.registry.client import Client
from sandbox.registry.holdings import Holdings
from sandbox.registry.progress import Observer


@dataclass(frozen=True)
class Destination:
    """`client` speaks to it, `holdings` knows what it has; `observer` hears of what is done in threads of `pool`."""

    client: Client
    holdings: Holdings
    observer: Observer
    pool: Executor
