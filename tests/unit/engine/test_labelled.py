"""Whose an object of the engine is: this owner's, another user's, one without an owner, or no sandbox's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.engine import ContainerSpec, labelled
from sandbox.errors import SandboxError
from sandbox.names import EDGE, LABEL, Home
from tests.support.fakes import FakeContainer, FakeEngine

IMAGE = "example.com/busybox:1"


@pytest.fixture
def engine() -> FakeEngine:
    engine = FakeEngine(IMAGE)
    engine.create_network("shop", {LABEL: ""})
    return engine


@pytest.fixture
def ann(place: Home) -> Home:
    return place


@pytest.fixture
def bob(tmp_path: Path) -> Home:
    return Home(tmp_path / "bob", tmp_path / "cache", tmp_path / "kubeconfig")


def run(engine: FakeEngine, name: str, labels: dict[str, str]) -> None:
    engine.run(ContainerSpec(name=name, image=IMAGE, command=("x",), labels=labels, network="shop"))


def test_an_owner_is_a_user_id_and_a_state_folder(ann: Home, bob: Home) -> None:
    mine = labelled.Owner.of(ann.labels)
    assert mine == labelled.this(ann) and mine != labelled.this(bob)
    assert mine and replace(mine, user="renamed") == mine and replace(mine, uid="4711") != mine
    assert labelled.is_ours(ann.sandbox("demo").labels, ann) and not labelled.is_ours(ann.sandbox("demo").labels, bob)
    assert not labelled.is_ours({}, ann) and not labelled.is_ours(None, ann)
    ann.sandbox("demo").keys.mkdir(parents=True)
    assert labelled.is_ours({LABEL: "demo"}, ann) and not labelled.is_ours({LABEL: "demo"}, bob)
    assert "unknown owner" in labelled.whose({LABEL: "demo"})


def test_the_second_user_s_edge_keeps_its_name(engine: FakeEngine, ann: Home, bob: Home) -> None:
    run(engine, EDGE, dict(ann.labels))
    name = labelled.edge(engine, bob)
    run(engine, name, dict(bob.labels))
    engine.remove_container(EDGE)
    assert labelled.edge(engine, bob) == name and labelled.edge(engine, ann) == EDGE


@pytest.mark.security(22)
@pytest.mark.parametrize("thing", ["network", "container", "volume"])
def test_labels_of_another_user_are_refused_in_each_part(engine: FakeEngine, ann: Home, bob: Home, thing: str) -> None:
    """Another user has a sandbox of the name, or its data → refused, with the user, the folder and the fix."""
    theirs = ann.sandbox("demo")
    if thing == "network":
        engine.create_network(theirs.network, theirs.labels)
    elif thing == "container":
        run(engine, theirs.registry, dict(theirs.labels))
    else:
        engine.create_volume(theirs.volume, theirs.labels)
    labelled.require(engine, theirs)
    with pytest.raises(SandboxError) as caught:
        labelled.require(engine, bob.sandbox("demo"))
    assert caught.value.id == "name-taken"
    assert str(ann.state) in caught.value.details and "nothing was changed" in caught.value.details
    assert "another name" in caught.value.fix and "XDG_STATE_HOME" in caught.value.fix
    labelled.require(engine, bob.sandbox("other"))


@pytest.mark.security(22)
def test_a_node_without_an_owner_is_whose_state_knows_it(engine: FakeEngine, ann: Home, bob: Home) -> None:
    """A node without an owner → whose state folder knows the sandbox goes on with it, all others are refused."""
    names = ann.sandbox("demo")
    spec = ContainerSpec(name=names.node, image=IMAGE, command=(), labels={}, network="shop")
    engine.add(FakeContainer(spec, IMAGE, read_only=False))
    with pytest.raises(SandboxError, match="unknown owner"):
        labelled.require(engine, names)
    names.folder.mkdir(parents=True)
    labelled.require(engine, names)
    with pytest.raises(SandboxError, match="unknown owner"):
        labelled.require(engine, bob.sandbox("demo"))
    engine.write_files(names.node, {labelled.COMPLETE: json.dumps({"owner": bob.owner}).encode()})
    labelled.require(engine, bob.sandbox("demo"))
    with pytest.raises(SandboxError) as caught:
        labelled.require(engine, names)
    assert str(bob.state) in caught.value.details


@pytest.mark.parametrize("owner", ["ann", "nosuch", "none"])
def test_only_ours_is_removed(engine: FakeEngine, ann: Home, bob: Home, owner: str) -> None:
    labels = {"ann": dict(ann.labels), "nosuch": {LABEL: "demo"}, "none": {}}[owner]
    run(engine, "box", labels)
    engine.create_volume("data", labels)
    assert not labelled.remove(engine, "box", bob) and not labelled.remove_volume(engine, "data", bob)
    for act in (labelled.make_room, labelled.stop):
        with pytest.raises(SandboxError) as caught:
            act(engine, "box", bob)
        assert caught.value.id == "name-taken" and engine.boxes["box"].running and "data" in engine.volumes


def test_a_mirror_s_long_name_is_shortened_to_a_host(ann: Home) -> None:
    names = ann.sandbox("a" * 40)
    long = names.mirror("an-upstream-with-a-long-first-label.example.com:5000")
    assert len(long.partition(".")[0]) <= 63 and long.endswith(".example.com-5000")
    assert long != names.mirror("an-upstream-with-a-long-first-label-too.example.com:5000")
    assert ann.sandbox("demo").mirror("registry.example.com:5000") == "sandbox-demo-registry.example.com-5000"
