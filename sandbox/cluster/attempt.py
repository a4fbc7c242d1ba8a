"""Applies an object that may come a moment too early, for what it depends on was applied just before."""

from __future__ import annotations

from sandbox.cluster.api import Cluster, ClusterError, Manifest


def attempt(cluster: Cluster, manifest: Manifest) -> str | None:
    """Apply; a new namespace gets its service account, and a new kind its endpoint, only after a moment.

    Returns None when it is done, what it still lacks otherwise; raises ClusterError for everything else.
    """
    try:
        cluster.apply(manifest)
    except ClusterError as error:
        early = (error.status == 403 and "serviceaccount" in error.details) or "the cluster knows no" in str(error)
        if not early:
            raise
        return error.details or error.brief
    return None
