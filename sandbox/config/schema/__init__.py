"""What a sandbox.yaml may say: every key, its meaning, its default and what is refused, as frozen models."""

from typing import Any

from sandbox.config.schema.apply_schema import Chart, Kustomization, RemoteChart
from sandbox.config.schema.cluster_schema import Cluster, Images, KindOptions, Nodes
from sandbox.config.schema.edge_schema import (
    Certificate,
    Certs,
    Edge,
    EdgeHost,
    Ingress,
    KeyPairFiles,
    ResolvedEdge,
    TcpPort,
)
from sandbox.config.schema.registry_schema import Registry, ResolvedRegistry
from sandbox.config.schema.spec import ResolvedSpec, Spec

__all__ = [
    "Certificate",
    "Certs",
    "Chart",
    "Cluster",
    "Edge",
    "EdgeHost",
    "Images",
    "Ingress",
    "KeyPairFiles",
    "KindOptions",
    "Kustomization",
    "Nodes",
    "Registry",
    "RemoteChart",
    "ResolvedEdge",
    "ResolvedRegistry",
    "ResolvedSpec",
    "Spec",
    "TcpPort",
    "schema",
]


def schema() -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Spec.model_json_schema(),
        "title": "sandbox.yaml",
    }
