"""Reads many objects at once: several of a kind and namespace by one list, and the others in parallel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

from sandbox.kube.api import Cluster, ClusterError, Manifest, Page
from sandbox.kube.workload_status import WORKLOADS

FEW = 3  # from so many of one kind and namespace on, a list is less work than single requests
SPARE = 500  # as many others in the list do not matter
WIDTH = 4
ALONE = {403, 404, 405, 406}  # objects that cannot be listed may still be readable one by one

Kind = tuple[str, str, str | None]


def live(cluster: Cluster, manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, dict[str, Any] | None]]:
    """Yield each manifest with its object in the cluster, in order; for what is no workload perhaps metadata only.

    That is so where several of a kind and namespace are listed. Raises ClusterError.
    """
    wanted = Counter(map(_kind, manifests))
    listed = {kind: number for kind, number in wanted.items() if number >= FEW}
    single = [_place(one) for one in manifests if _kind(one) not in listed]
    with _reading() as read:
        pages = {kind: cache(read(_page, cluster, kind, number + SPARE)) for kind, number in listed.items()}
        alone = {place: read(cluster.get, *place) for place in single}
        for one in manifests:
            page = pages[_kind(one)]() if _kind(one) in pages else None
            if page is not None:
                yield one, page.get(one["metadata"]["name"])
            else:
                yield one, alone[_place(one)]() if _place(one) in alone else cluster.get(*_place(one))


@contextmanager
def _reading() -> Iterator[Callable[..., Callable[[], Any]]]:
    """Yield a function that begins to call another in a thread, and returns one that waits for the result."""
    pool = ThreadPoolExecutor(WIDTH, thread_name_prefix="live")
    try:
        yield lambda work, *given: pool.submit(work, *given).result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _place(manifest: Manifest) -> tuple[str, str, str, str | None]:
    api_version, kind, namespace = _kind(manifest)
    return api_version, kind, manifest["metadata"]["name"], namespace


def _kind(manifest: Manifest) -> Kind:
    return manifest["apiVersion"], manifest["kind"], manifest["metadata"].get("namespace")


def _page(cluster: Cluster, kind: Kind, most: int) -> Page | None:
    """Return the objects by their names; None where there are too many, or they can only be read one by one."""
    api_version, name, namespace = kind
    try:
        return cluster.page(api_version, name, namespace, most=most, whole=name in WORKLOADS)
    except ClusterError as error:
        if error.status in ALONE:
            return None
        raise
