"""Finds a sandbox's cluster when only its name is known: the spec that it was brought up with says what made it."""

from __future__ import annotations

from sandbox.components.cluster.docker_nodes import Containers
from sandbox.components.cluster.kind import provider as kind_provider
from sandbox.components.cluster.minikube import provider as minikube_provider
from sandbox.config.schema.cluster_schema import Cluster
from sandbox.engine import Engine, labelled
from sandbox.errors import SandboxError
from sandbox.names import Names
from sandbox.plan import saved_spec


def nodes(engine: Engine, names: Names) -> Containers:
    """The nodes of the cluster, there or not."""
    made = cluster(names) or Cluster()
    if made.provider == "minikube":
        return minikube_provider.nodes(engine, made.profile or names.cluster)
    return kind_provider.nodes(engine, labelled.located(engine, names))


def cluster(names: Names) -> Cluster | None:
    """What the spec of the last `up` says of the cluster; None when nothing is known of one."""
    try:
        spec = saved_spec.load(names)
    except SandboxError:
        return None
    return spec.cluster if spec else None
