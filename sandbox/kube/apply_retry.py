"""Applies an object that may come a moment too early, for what it depends on was applied just before."""

from __future__ import annotations

from functools import partial

from sandbox.kube.api import Cluster, ClusterError, Manifest, Say, log, title
from sandbox.system.wait import wait_until

TIMEOUT = 30.0


def put(cluster: Cluster, manifest: Manifest, *, say: Say = log.info) -> None:
    """Apply, as often as it takes until what the object depends on is there. Raises ClusterError, WaitTimeout."""
    wait_until(partial(attempt, cluster, manifest, say=say), what=title(manifest), timeout=TIMEOUT)


def attempt(cluster: Cluster, manifest: Manifest, *, say: Say = log.info) -> str | None:
    """Apply; a namespace gets its service account, a kind its endpoint and a webhook its Service only after a moment.

    Returns None when it is done, what it still lacks otherwise; raises ClusterError for everything else.
    """
    try:
        cluster.apply(manifest, say=say)
    except ClusterError as error:
        account = error.status == 403 and "serviceaccount" in error.details
        if not (account or "the cluster knows no" in str(error) or "failed calling webhook" in error.details):
            raise
        return error.details or error.brief
    return None
