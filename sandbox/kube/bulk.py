"""Many objects looked at together: several of a kind and namespace by one request, and the others side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sandbox.kube.api import Cluster, ClusterError, Manifest, Page
from sandbox.kube.readiness import WORKLOADS

FEW = 3  # from so many of one kind and namespace on, a list is less work than each by itself
SPARE = 500  # as many others in it are no matter
WIDTH = 4
ALONE = {403, 404, 405, 406}  # what may not, or cannot, be listed may yet be asked for one by one

Kind = tuple[str, str, str | None]


def live(cluster: Cluster, manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, dict[str, Any] | None]]:
    """Yield each with what there is of it in the cluster, in their order, and of what is no workload maybe less.

    That is then its metadata only: of several of a kind and namespace all are listed. Raises ClusterError.
    """
    wanted = Counter(map(_kind, manifests))
    pool = ThreadPoolExecutor(WIDTH, thread_name_prefix="live")
    try:
        pages = {
            kind: pool.submit(_page, cluster, kind, number + SPARE) for kind, number in wanted.items() if number >= FEW
        }
        alone = {_place(one): pool.submit(cluster.get, *_place(one)) for one in manifests if _kind(one) not in pages}
        for one in manifests:
            page = pages[_kind(one)].result() if _kind(one) in pages else None
            if page is not None:
                yield one, page.get(one["metadata"]["name"])
            else:
                yield one, alone[_place(one)].result() if _place(one) in alone else cluster.get(*_place(one))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _place(manifest: Manifest) -> tuple[str, str, str, str | None]:
    api_version, kind, namespace = _kind(manifest)
    return api_version, kind, manifest["metadata"]["name"], namespace


def _kind(manifest: Manifest) -> Kind:
    return manifest["apiVersion"], manifest["kind"], manifest["metadata"].get("namespace")


def _page(cluster: Cluster, kind: Kind, most: int) -> Page | None:
    """Return them all by their names; None where they are too many, or may only be asked for one by one."""
    api_version, name, namespace = kind
    try:
        return cluster.page(api_version, name, namespace, most=most, whole=name in WORKLOADS)
    except ClusterError as error:
        if error.status in ALONE:
            return None
        raise
