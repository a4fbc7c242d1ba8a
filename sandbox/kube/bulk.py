"""Many objects looked at together: where several of a kind and namespace are wanted, they are listed by one request."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from sandbox.kube.api import Cluster, ClusterError, Manifest, Page
from sandbox.kube.readiness import WORKLOADS

FEW = 3  # from so many of one kind and namespace on, a list is less work than each by itself
SPARE = 500  # as many others in it are no matter
ALONE = {403, 404, 405, 406}  # what may not, or cannot, be listed may yet be asked for one by one

Kind = tuple[str, str, str | None]


def live(cluster: Cluster, manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, dict[str, Any] | None]]:
    """Yield each with what there is of it in the cluster, in their order, and of what is no workload maybe less.

    That is then its metadata only. The first of a kind and namespace has all of them listed. Raises ClusterError.
    """
    wanted: dict[Kind, int] = defaultdict(int)
    for one in manifests:
        wanted[_kind(one)] += 1
    listed: dict[Kind, Page | None] = {}
    for one in manifests:
        kind = _kind(one)
        if wanted[kind] >= FEW and kind not in listed:
            listed[kind] = _page(cluster, kind, wanted[kind] + SPARE)
        page, name = listed.get(kind), one["metadata"]["name"]
        yield one, page.get(name) if page is not None else cluster.get(kind[0], kind[1], name, kind[2])


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
