"""Applies objects that may come too early: before a service account, an endpoint of their kind, or a webhook's pods."""

import logging
from functools import partial

from sandbox.kube.api import Cluster, ClusterError, Manifest, Say, title
from sandbox.system.wait import wait_until

log = logging.getLogger(__name__)

APPLY_TIMEOUT = 30.0
# The API server's messages where an object comes before its namespace's account (kubernetes, plugin/pkg/admission/
# serviceaccount), before its kind, before a webhook's pods, or before its kind's endpoint.
NO_ACCOUNT = "error looking up service account"
UNKNOWN = "the cluster knows no"
UNANSWERED = ("failed calling webhook", "conversion webhook for")
EARLY = (*UNANSWERED, "the server could not find the requested resource")


def apply_patiently(cluster: Cluster, manifest: Manifest, *, say: Say = log.info) -> None:
    """Apply an object, again until everything it depends on is there. Raises ClusterError, WaitTimeout."""
    wait_until(partial(attempt, cluster, manifest, say=say), what=title(manifest), timeout=APPLY_TIMEOUT)


def attempt(cluster: Cluster, manifest: Manifest, *, say: Say = log.info) -> str | None:
    """Apply an object once; a namespace's service account, a kind's endpoint and a webhook's Service take a moment.

    Returns None when it is done, what it still lacks otherwise; raises ClusterError for everything else.
    """
    try:
        cluster.apply(manifest, say=say)
    except ClusterError as error:
        account = error.status == 403 and NO_ACCOUNT in error.details
        if not (account or UNKNOWN in str(error) or any(words in error.details for words in EARLY)):
            raise
        return error.details or error.brief
    return None


def is_unanswered(words: str) -> bool:
    """Return whether the API server says that nothing answers a webhook, whose pods may not have started yet."""
    return any(phrase in words for phrase in UNANSWERED)
