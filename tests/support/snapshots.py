"""Manifests of snapshots, for tests that need one."""

from __future__ import annotations

from datetime import UTC, datetime

from sandbox.snapshot.snapshot_store import Manifest, Node


def manifest(*nodes: Node) -> Manifest:
    """The manifest of the snapshot `one` of the sandbox `demo`, with these nodes and no files."""
    return Manifest(
        snapshot="one",
        sandbox="demo",
        made=datetime.now(UTC),
        release="0.1.0",
        kubernetes="v1.36.3",
        image="node:1",
        folder="/",
        nodes=nodes,
        registry=None,
        parts=(),
    )
