"""The routes of the Gateway API that the sandbox serves."""

from __future__ import annotations

GATEWAY_GROUP = "gateway.networking.k8s.io"
