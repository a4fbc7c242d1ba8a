"""What a sandbox.yaml may say about the Kubernetes cluster, and where the images that it is made of come from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sandbox.spec.model import Model
from sandbox.spec.values import OneNode, Release


class Cluster(Model):
    """The Kubernetes cluster."""

    provider: Literal["kind"] = Field(default="kind", description="What runs the cluster.")
    kubernetes: Release | None = Field(
        default=None,
        description="The Kubernetes version, such as v1.36.3; by default the one this release of sandbox is made for.",
    )
    nodes: OneNode = Field(default=1, description="How many nodes; one for now.")


class Images(Model):
    """The sandbox's own images: node, registry, ingress, proxy."""

    source: Literal["auto", "upstream", "bundle"] = Field(
        default="auto",
        description="Where the sandbox's own images come from: their upstream registries, a bundle built or loaded "
        "on this machine, or whichever works.",
    )
