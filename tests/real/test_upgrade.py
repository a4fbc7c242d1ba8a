"""Sandboxes moved to another Kubernetes version by a new cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from sandbox.app import context
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.config.schema import Spec
from tests.real import machine
from tests.real.application import Application

pytestmark = [pytest.mark.real, pytest.mark.nightly]

NAME = "test-upgrade"
OLDER, PRESENT = recipes()["node-1.35"], recipes()["node"]
# `scripts/lanes/upstream --also 1.35` has the same versions as published images.
IMAGES = {"source": "upstream" if Spec().images.source == "upstream" else "bundle"}


@pytest.fixture
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    if not Store(context.home().bundle).has(OLDER):
        machine.leave_out(f"needs the node image of {OLDER.version}: sandbox bundle build --kubernetes 1.35")
    made = Application.free(NAME, tmp_path_factory.mktemp("upgrade"))
    made.write(cluster={"kubernetes": OLDER.version, "nodes": 2}, images=IMAGES)
    try:
        made.command("up")
        yield made
    finally:
        made.command("down", "--purge", status=None)


def versions(app: Application) -> set[str]:
    said = app.kubectl("get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.kubeletVersion}")
    return set(said.split())


def test_recreated_cluster_keeps_all_that_is_outside(app: Application) -> None:
    root, registry = app.names.root_certificate.read_bytes(), app.registry
    app.write(cluster={"kubernetes": PRESENT.version, "nodes": 2}, images=IMAGES)
    app.command("up", "--recreate", "cluster")
    assert (versions(app), app.page()) == ({PRESENT.version}, "first")
    assert app.names.root_certificate.read_bytes() == root
    assert json.loads(app.names.spec.read_bytes())["registry"]["port"] == registry
