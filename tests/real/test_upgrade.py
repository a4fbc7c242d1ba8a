"""Sandboxes moved to another Kubernetes: a new cluster or the nodes in place, and back where that fails."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest

from sandbox.app import context
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.config.schema import Spec
from sandbox.engine import Engine
from tests.real import machine
from tests.real.application import Application
from tests.real.machine import ROOT, CommandLine

pytestmark = [pytest.mark.real, pytest.mark.nightly]

NAME = "test-upgrade"
OLDER, PRESENT = recipes()["node-1.35"], recipes()["node"]
THREE = {"control_plane": 3}
# `scripts/lanes/upstream --also 1.35` has the same versions as published images.
IMAGES = {"source": "upstream" if Spec().images.source == "upstream" else "bundle"}


@pytest.fixture
def engine() -> Engine:
    return machine.engine()


@pytest.fixture
def app(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    """One with the older Kubernetes, of two nodes or those that the test names."""
    if not Store(context.home().bundle).has(OLDER):
        machine.leave_out(f"needs the node image of {OLDER.version}: sandbox bundle build --kubernetes 1.35")
    made = Application.free(NAME, tmp_path_factory.mktemp("upgrade"))
    made.write(cluster={"kubernetes": OLDER.version, "nodes": getattr(request, "param", 2)}, images=IMAGES)
    try:
        made.command("up")
        yield made
    finally:
        made.command("down", "--purge", status=None)
        for one in json.loads(made.command("snapshot", "list", "-o", "json").out):
            if one["sandbox"] == NAME:
                made.command("snapshot", "delete", one["snapshot"], status=None)


def versions(app: Application) -> set[str]:
    said = app.kubectl("get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.kubeletVersion}")
    return set(said.split())


def pods(app: Application) -> dict[str, str]:
    found = json.loads(app.kubectl("get", "pods", "-n", "default", "-o", "json"))["items"]
    return {one["metadata"]["uid"]: one["status"]["containerStatuses"][0]["restartCount"] for one in found}


def broken(app: Application, moment: str) -> CommandLine:
    program = (sys.executable, "-m", "tests.support.failpoint", f"upgrade:{moment}")
    return CommandLine({**app.command.env, "PYTHONPATH": str(ROOT)}, app.folder, program)


def test_nodes_are_upgraded_in_place_with_what_they_run(app: Application) -> None:
    app.store("kept")
    before, root = pods(app), app.names.root_certificate.read_bytes()
    app.write(cluster={"kubernetes": PRESENT.version, "nodes": 2}, images=IMAGES)
    assert "`sandbox upgrade` changes it in place" in app.command("up", status=1).err
    app.command("upgrade")
    assert (versions(app), pods(app), app.page()) == ({PRESENT.version}, before, "kept")
    assert app.command("up", "--plan").out == "" and app.names.root_certificate.read_bytes() == root
    app.command("stop")
    app.command("start")
    assert (versions(app), app.page()) == ({PRESENT.version}, "kept")
    app.write(cluster={"kubernetes": PRESENT.version, "nodes": 3}, images=IMAGES)
    app.command("up")  # a worker of the image that the cluster was not made of
    assert versions(app) == {PRESENT.version}


@pytest.mark.fault(8)
def test_failed_upgrade_leaves_the_cluster_as_before(app: Application, engine: Engine) -> None:
    """kubeadm fails or `upgrade` is killed half way → the snapshot comes back, or the next `upgrade` ends it"""
    app.store("kept")
    app.write(cluster={"kubernetes": PRESENT.version, "nodes": 2}, images=IMAGES)
    assert "runs as before" in broken(app, "during=21:raise")("upgrade", status=1).err
    assert (versions(app), app.page()) == ({OLDER.version}, "kept")
    broken(app, "during=22:kill")("upgrade", status=-9)
    app.command("upgrade")
    assert (versions(app), app.page()) == ({PRESENT.version}, "kept")
    assert not any(one.name.endswith("-upgrade") for one in engine.containers("dev.sandbox.name"))


@pytest.mark.parametrize("app", [THREE], indirect=True)
def test_several_control_planes_are_upgraded_in_place(app: Application) -> None:
    app.store("kept")
    before = pods(app)
    app.write(cluster={"kubernetes": PRESENT.version, "nodes": THREE}, images=IMAGES)
    app.command("upgrade")
    assert (versions(app), pods(app), app.page()) == ({PRESENT.version}, before, "kept")
    assert app.command("up", "--plan").out == ""


def test_recreated_cluster_keeps_all_that_is_outside(app: Application) -> None:
    root, registry = app.names.root_certificate.read_bytes(), app.registry
    app.write(cluster={"kubernetes": PRESENT.version, "nodes": 2}, images=IMAGES)
    app.command("up", "--recreate", "cluster")
    assert (versions(app), app.page()) == ({PRESENT.version}, "first")
    assert app.names.root_certificate.read_bytes() == root
    assert json.loads(app.names.spec.read_bytes())["registry"]["port"] == registry
