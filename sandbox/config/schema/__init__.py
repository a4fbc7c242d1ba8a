"""What a sandbox.yaml may say: every key, its meaning, its default and what is refused, as frozen models."""

from typing import Any

from sandbox.config.schema.apply_schema import Chart, Kustomization, RemoteChart
from sandbox.config.schema.cluster_schema import Cluster, KindOptions, Nodes, ResolvedRegistry
from sandbox.config.schema.edge_schema import Ingress
from sandbox.config.schema.spec import ResolvedSpec, Spec

__all__ = [
    "Chart",
    "Cluster",
    "Ingress",
    "KindOptions",
    "Kustomization",
    "Nodes",
    "RemoteChart",
    "ResolvedRegistry",
    "ResolvedSpec",
    "Spec",
    "schema",
]


def schema() -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Spec.model_json_schema(),
        "title": "sandbox.yaml",
    }
