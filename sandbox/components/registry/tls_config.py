"""How a node pulls from a registry behind the cluster's own ingress: by which address, and trusting whom."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from sandbox.components.certificates.cluster_trust import ROOT


def host_files(hosts: Iterable[str]) -> dict[PurePosixPath, bytes]:
    """Return files for pulls of `HOST[:PORT]/…` that trust the sandbox's root (containerd docs, hosts.md).

    On the node the ingress listens on 443, whatever port the host's edge has. A `ca` that is not absolute is ignored.
    """
    return {PurePosixPath("/etc/containerd/certs.d", host, "hosts.toml"): _hosts_toml(host) for host in hosts}


def names(hosts: Iterable[str]) -> tuple[str, ...]:
    """Return the names that the node must know, each once."""
    return tuple(dict.fromkeys(host.partition(":")[0] for host in hosts))


def _hosts_toml(host: str) -> bytes:
    url = f"https://{host.partition(':')[0]}"
    return f'server = "{url}"\n\n[host."{url}"]\n  capabilities = ["pull", "resolve"]\n  ca = "{ROOT}"\n'.encode()
