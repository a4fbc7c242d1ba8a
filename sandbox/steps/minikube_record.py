"""Remembers in the cluster which addons of minikube's were off before the sandbox came, and who asked for them."""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.cluster.api import Cluster
from sandbox.cluster.namespace import namespace
from sandbox.names import SYSTEM_NAMESPACE

RECORD = ("v1", "ConfigMap", "minikube-addons", SYSTEM_NAMESPACE)


def read(cluster: Cluster) -> Mapping[str, str]:
    """The addons, each with `spec` or `command`."""
    return (cluster.get(*RECORD) or {}).get("data") or {}


def write(cluster: Cluster, record: Mapping[str, str]) -> None:
    """Remember these and no others."""
    cluster.apply(namespace(SYSTEM_NAMESPACE))
    metadata = {"name": RECORD[2], "namespace": SYSTEM_NAMESPACE}
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(record)})


def forget(cluster: Cluster, addon: str) -> None:
    """Remember all but this one."""
    write(cluster, {name: by for name, by in read(cluster).items() if name != addon})
