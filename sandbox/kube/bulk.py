"""Reads many objects side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sandbox.kube.api import Cluster, Manifest

WIDTH = 8


def live(cluster: Cluster, manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, dict[str, Any] | None]]:
    """Yield each manifest with its object in the cluster, in order. Raises ClusterError."""
    pool = ThreadPoolExecutor(WIDTH, thread_name_prefix="live")
    try:
        yield from zip(manifests, pool.map(cluster.live, manifests), strict=True)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
