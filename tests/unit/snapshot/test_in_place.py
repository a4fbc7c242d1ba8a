"""Which nodes get the data of a snapshot in place, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox.components.cluster.kind import api_answers
from sandbox.engine import Container, ContainerSpec, container_copy
from sandbox.engine.container_copy import Description
from sandbox.errors import SandboxError
from sandbox.names import Home, Names
from sandbox.snapshot.in_place import IMAGES, InPlace
from sandbox.snapshot.new_nodes import NEW
from sandbox.snapshot.snapshot_store import Node
from sandbox.snapshot.volume_archive import Packed
from tests.support import snapshots
from tests.support.fakes import FakeContainer, FakeEngine

PRINT = "5143a485"
HELD = "16 of 444 keys changed\nheld 1796004702 uid-etcd uid-proxy\n"
HOST = {"Binds": ["/home/me/resolv.conf:/etc/resolv.conf:ro"], "PortBindings": {}}


class Cluster:
    """Nodes that run in an engine; `said` is what each command said or would say, `ran` the nodes and phases."""

    def __init__(self, names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names, self.engine = names, FakeEngine("node:1")
        self.ran: list[tuple[str, ...]] = []
        self.said = {"fingerprint": (0, f"{PRINT}\n"), "hold": (0, HELD)}
        self.made: dict[str, Description] = {}
        self.engine.programs |= {"bash": self.tell, "timeout": self.run}
        monkeypatch.setattr(container_copy, "describe", lambda _, name: self.made[name])
        monkeypatch.setattr(container_copy, "volumes", lambda _, name: {"/var": f"volume-{name}"})

    def add(self, *names: str) -> None:
        self.engine.create_network(self.names.network, self.names.labels)
        for name in names:
            spec = ContainerSpec(
                name=name, image="node:1", command=("x",), labels={"mark": ""}, network=self.names.network
            )
            self.engine.run(spec)
            self.made[name] = Description(name, {"Image": "node:1"}, HOST)

    def tell(self, box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
        return self.said["fingerprint"]

    def run(self, box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
        phases = tuple(argv[argv.index(NEW) + 1 :])
        self.ran.append((box.spec.name, *phases))
        return self.said.get(phases[0], (0, ""))

    def present(self, *names: str, **node: Any) -> InPlace:
        nodes = tuple(
            Node(
                **{
                    "name": name,
                    "image": "node:1",
                    "config": {"Image": self.node(name).image},
                    "host": HOST,
                    "files": f"{name}.tar",
                    "volumes": {"/var": "before"},
                    "fingerprint": PRINT,
                    **node,
                }
            )
            for name in names
        )
        manifest = snapshots.manifest(*nodes)
        return InPlace(engine=self.engine, names=self.names, mark="mark", manifest=manifest)

    def node(self, name: str) -> Container:
        found = self.engine.container(name)
        assert found
        return found

    def is_possible(self, present: InPlace) -> bool:
        return present.is_possible([Description(one.name, one.config, one.host) for one in present.manifest.nodes])


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    home = Home(tmp_path / "state", tmp_path / "cache", tmp_path / "kubeconfig")
    return Cluster(home.sandbox("demo"), monkeypatch)


def test_nodes_of_which_only_data_changed_keep_running(cluster: Cluster) -> None:
    cluster.add(cluster.names.node)
    assert cluster.is_possible(cluster.present(cluster.names.node))


@pytest.mark.parametrize(
    "node",
    [
        {"config": {"Image": "another"}},
        {"host": {**HOST, "PortBindings": {"6443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "1"}]}}},
        {"fingerprint": ""},
        {"fingerprint": "of other images"},
        {"volumes": {"/var": "before", "/data": "before"}},
    ],
)
def test_nodes_that_changed_get_no_data_in_place(cluster: Cluster, node: dict[str, Any]) -> None:
    cluster.add(cluster.names.node)
    assert not cluster.is_possible(cluster.present(cluster.names.node, **node))


def test_folder_of_the_machine_in_var_allows_no_data_in_place(cluster: Cluster) -> None:
    """It would be moved with the folder that it is mounted in, and deleted with it."""
    cluster.add(cluster.names.node)
    host = {**HOST, "Binds": ["/home/me/data:/var/lib/data"]}
    cluster.made[cluster.names.node] = Description(cluster.names.node, {"Image": "node:1"}, host)
    assert not cluster.is_possible(cluster.present(cluster.names.node, host=host))


def test_other_nodes_than_the_snapshots_get_no_data_in_place(cluster: Cluster) -> None:
    cluster.add(cluster.names.node, "worker")
    assert not cluster.is_possible(cluster.present(cluster.names.node))


def test_stopped_nodes_get_no_data_in_place(cluster: Cluster) -> None:
    cluster.add(cluster.names.node)
    present = cluster.present(cluster.names.node)
    cluster.engine.stop(cluster.names.node)
    assert not cluster.is_possible(present)


def test_node_without_a_shell_has_no_fingerprint(cluster: Cluster) -> None:
    cluster.add(cluster.names.node)
    cluster.said["fingerprint"] = (126, "exec: bash: not found")
    assert not cluster.is_possible(cluster.present(cluster.names.node, fingerprint="exec: bash: not found"))


def test_data_is_put_next_to_the_present_without_images(cluster: Cluster) -> None:
    cluster.add(cluster.names.node)
    node = cluster.names.node
    assert cluster.present(node).prepare(lambda _: None) == [
        Packed(f"volume-{node}", f"{node}-var", below=NEW, without=IMAGES)
    ]


@pytest.fixture
def awaited(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The arguments of the wait for what kubelets tell."""
    calls: list[Any] = []
    monkeypatch.setattr(api_answers, "await_news", lambda *arguments: calls.append(arguments[3:]))
    return calls


def test_lone_node_gets_its_data_by_one_command(cluster: Cluster, awaited: list[Any]) -> None:
    node = cluster.names.node
    cluster.add(node)
    for one in cluster.present(node).replacements():
        one()
    assert cluster.ran == [(node, "hold", "rewind", "release")]
    assert awaited == [({node: datetime.fromtimestamp(1796004702, UTC)}, {"uid-etcd", "uid-proxy"})]


def test_keys_change_while_the_kubelets_of_all_nodes_rest(cluster: Cluster, awaited: list[Any]) -> None:
    node = cluster.names.node
    cluster.add(node, "worker")
    for one in cluster.present(node, "worker").replacements():
        one()
    first, last = {(node, "hold"), ("worker", "hold")}, {(node, "release"), ("worker", "release")}
    assert (set(cluster.ran[:2]), cluster.ran[2], set(cluster.ran[3:])) == (first, (node, "rewind"), last)
    assert awaited[0][0].keys() == {node, "worker"}


def test_node_that_cannot_be_held_is_an_error(cluster: Cluster) -> None:
    node = cluster.names.node
    cluster.add(node)
    cluster.said["hold"] = (1, "/var/lib/data\n")
    (replace,) = cluster.present(node).replacements()
    with pytest.raises(SandboxError, match=f"the data of {node} could not be replaced") as caught:
        replace()
    assert caught.value.details == "/var/lib/data"
