"""Applies an object that may come a moment too early, for what it depends on was applied just before."""

from __future__ import annotations

from sandbox.cluster.api import Cluster, ClusterError, Manifest


def attempt(cluster: Cluster, manifest: Manifest) -> str | None:
    """Apply; a namespace gets its service account, a kind its endpoint and a webhook its Service only after a moment.

    Returns None when it is done, what it still lacks otherwise; raises ClusterError for everything else.
    """
    try:
        cluster.apply(manifest)
    except ClusterError as error:
        account = error.status == 403 and "serviceaccount" in error.details
        if not (account or "the cluster knows no" in str(error) or "failed calling webhook" in error.details):
            raise
        return error.details or error.brief
    return None
