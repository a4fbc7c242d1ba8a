"""Whether a cluster of the wanted shape can be made from the images and files there are."""

from __future__ import annotations

from sandbox.bundle.system_images import OwnImages
from sandbox.config.schema import Cluster
from sandbox.errors import UsageError


def require(cluster: Cluster, own: OwnImages) -> None:
    """Raise UsageError for the first reason why not."""
    if cluster.nodes.control_plane > 1 and own.source == "bundle":
        raise UsageError(
            "the bundle has no cluster with several control planes",
            details="kind puts a load balancer before them, whose image is another program's and not in the bundle",
            fix="write `nodes: {workers: …}` in the spec's `cluster`, or, where an image registry can be reached, "
            "`images: {source: upstream}`",
        )
    if cluster.ip_family == "ipv6":
        raise UsageError(
            "a cluster cannot have IPv6 alone",
            details="its pods would reach neither the registry nor this machine's nameservers, which have IPv4",
            fix="write `ip_family: dual` in the spec's `cluster`: pods and services then have addresses of both kinds",
        )
    for mount in cluster.mounts:
        if not mount.host.exists():
            raise UsageError(
                f"{mount.host} is not there, and nodes are to have it at {mount.node}",
                fix="create it, or correct `mounts` in the spec's `cluster`",
            )
