"""Finds a sandbox's cluster when only its name is known: the spec that it was brought up with says what made it."""

from __future__ import annotations

from sandbox.errors import SandboxError
from sandbox.host import own
from sandbox.host.engine import Engine
from sandbox.names import Names
from sandbox.providers import kind, minikube
from sandbox.providers.containers import Containers
from sandbox.spec.cluster import Cluster
from sandbox.steps import remembered


def nodes(engine: Engine, names: Names) -> Containers:
    """The nodes of the cluster, there or not."""
    made = cluster(names) or Cluster()
    if made.provider == "minikube":
        return minikube.nodes(engine, made.profile or names.cluster)
    return kind.nodes(engine, own.located(engine, names))


def cluster(names: Names) -> Cluster | None:
    """What the spec of the last `up` says of the cluster; None when nothing is known of one."""
    try:
        spec = remembered.load(names)
    except SandboxError:
        return None
    return spec.cluster if spec else None
