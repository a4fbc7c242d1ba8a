"""Nodes are upgraded one after another, what has begun is continued, and no file of an upgrade stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import pytest

from sandbox.components.cluster.kind.cluster_config import in_reach
from sandbox.components.cluster.kind.node_upgrade import BEGUN, ETCD, Begun, NodeUpgrade
from sandbox.components.cluster.kind.provider import VERSION
from sandbox.engine import ContainerSpec, container_copy
from sandbox.errors import SandboxError
from sandbox.names import Names
from tests.support.fakes import FakeContainer, FakeEngine

BEFORE, AFTER = "v1.35.4", "v1.36.3"
NODES = ("sandbox-demo-control-plane", "sandbox-demo-worker")
KUBEADM = "/kind/upgrade/programs/kubeadm"


class World(FakeEngine):
    """An engine whose containers carry out what an upgrade asks, and tell of it."""

    def __init__(self) -> None:
        super().__init__("node:new")
        self.said: list[str] = []
        self.broken = ""
        self.programs |= dict.fromkeys(("bash", "rm", "ctr", KUBEADM), self._done)
        self.programs["kubectl"] = lambda box, argv: (0, f"{AFTER} True")

    def make(self, name: str, config: object, host: object) -> None:
        assert isinstance(config, dict)
        self.add(FakeContainer(container(name, config["Labels"]), "sha256:new", read_only=False))

    def _done(self, box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
        words = [one for one in argv if "\n" not in one]
        self.said.append(f"{box.spec.name} {' '.join(words)}")
        if argv[0] == "rm":
            for place in map(PurePosixPath, argv[2:]):
                box.files = {path: one for path, one in box.files.items() if not path.is_relative_to(place)}
        return (1, "it is broken") if self.broken and self.broken in " ".join(words) else (0, "")


def container(name: str, labels: Mapping[str, str]) -> ContainerSpec:
    return ContainerSpec(name=name, image="node:new", command=(), network="none", labels=labels)


@pytest.fixture
def world(names: Names, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    for node in NODES:
        world.add(FakeContainer(container(node, names.labels), "sha256:old", read_only=False))
        world.write_file(node, VERSION, f"{BEFORE}\n".encode())
    copied = lambda engine, source, path, to, folder: world.said.append(f"{to} copied {path} from {source}")  # noqa: E731
    monkeypatch.setattr(container_copy, "carry", copied)
    return world


def change(world: World, names: Names, *, keeps_etcd: bool = True) -> NodeUpgrade:
    return NodeUpgrade(engine=world, names=names, nodes=NODES, image="node:new", version=AFTER, keeps_etcd=keeps_etcd)


def kubeadm(world: World) -> list[str]:
    return [one.replace(KUBEADM, "kubeadm") for one in world.said if KUBEADM in one]


def test_control_plane_is_upgraded_first_and_nothing_stays(world: World, names: Names) -> None:
    one = change(world, names)
    one.begin("before")
    assert one.begun() == Begun(AFTER, "before")
    one.run(lambda _: None)
    first, second = kubeadm(world)
    assert first.startswith(f"{NODES[0]} kubeadm upgrade apply {AFTER} --yes --skip-phases=preflight")
    assert "--etcd-upgrade=false" in first and "--certificate-renewal=false" in first
    assert second.startswith(f"{NODES[1]} kubeadm upgrade node")
    assert one.begun() is None and list(world.boxes) == list(NODES)
    for node in NODES:
        assert world.read_file(node, VERSION) == AFTER.encode()
        assert world.boxes[node].files.keys() == {VERSION}


def test_etcd_gets_certificates_for_its_present_address(world: World, names: Names) -> None:
    world.write_file(NODES[0], ETCD, b"")
    change(world, names).run(lambda _: None)
    (renewed,) = [number for number, one in enumerate(world.said) if one == f"{NODES[0]} bash -c"]
    assert renewed < next(number for number, one in enumerate(world.said) if "upgrade apply" in one)


def test_every_etcd_has_certificates_before_kubeadm_asks(world: World, names: Names) -> None:
    second = "sandbox-demo-control-plane2"
    world.add(FakeContainer(container(second, names.labels), "sha256:old", read_only=False))
    for node in (NODES[0], second):
        world.write_file(node, VERSION, BEFORE.encode())
        world.write_file(node, ETCD, b"")
    nodes = (NODES[0], second, NODES[1])
    NodeUpgrade(engine=world, names=names, nodes=nodes, image="node:new", version=AFTER, keeps_etcd=True).run(print)
    first = next(number for number, one in enumerate(world.said) if "upgrade apply" in one)
    assert {f"{NODES[0]} bash -c", f"{second} bash -c"} <= set(world.said[:first])
    assert f"{second} kubeadm upgrade node --skip-phases=preflight,addon/coredns" in kubeadm(world)[1]
    assert "--etcd-upgrade=false" in kubeadm(world)[1] and "etcd" not in kubeadm(world)[2]


def test_nodes_that_are_done_are_left_alone(world: World, names: Names) -> None:
    world.write_file(NODES[0], VERSION, AFTER.encode())
    world.write_file(NODES[0], BEGUN, b"{}")
    change(world, names).run(lambda _: None)
    assert [one.partition(" ")[0] for one in kubeadm(world)] == [NODES[1]]
    world.said.clear()
    change(world, names).run(lambda _: None)
    assert kubeadm(world) == []


def test_published_images_bring_their_etcd(world: World, names: Names) -> None:
    change(world, names, keeps_etcd=False).run(lambda _: None)
    assert "--etcd-upgrade=true" in kubeadm(world)[0]


def test_kubeadm_is_run_again_when_the_api_server_went_away(world: World, names: Names) -> None:
    eof = "error: failed to get corresponding node: unexpected error when reading response body: unexpected EOF"
    rights = 'error: configmaps "kubelet-config" is forbidden: User "system:node:worker" cannot get resource'
    answers, asked = iter([(0, ""), (1, eof), (1, rights), (0, "")]), []
    ready = iter([(1, "refused"), (0, "ok"), (0, "ok")])

    def kubectl(box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
        asked.append(argv[-1])
        return next(ready) if argv[-1] == "--raw=/readyz" else (0, f"{AFTER} True")

    world.programs["kubectl"] = kubectl
    world.programs[KUBEADM] = lambda box, argv: (world._done(box, argv), next(answers))[1]
    change(world, names).run(lambda _: None)
    assert [one.split()[0] for one in kubeadm(world)] == [NODES[0], NODES[1], NODES[1], NODES[1]]
    assert asked.count("--raw=/readyz") == 3


@pytest.mark.parametrize("broken", ["pack", "import", "upgrade apply", "upgrade node", "swap"])
def test_failing_node_ends_the_upgrade_with_its_words(world: World, names: Names, broken: str) -> None:
    world.broken, one = broken, change(world, names)
    one.begin("before")
    with pytest.raises(SandboxError, match="failed on sandbox-demo-") as caught:
        one.run(lambda _: None)
    assert caught.value.details == "it is broken"
    assert one.begun() == Begun(AFTER, "before") and list(world.boxes) == list(NODES)
    assert world.read_file(NODES[1], VERSION) == f"{BEFORE}\n".encode()


@pytest.mark.parametrize(
    ("before", "after", "can"),
    [
        ("v1.35.4", "v1.36.3", True),
        ("v1.35.4", "v1.35.8", True),
        ("v1.35.4", "v1.35.4", False),
        ("v1.35.8", "v1.35.4", False),
        ("v1.34.4", "v1.36.3", False),
        ("v1.36.3", "v1.35.4", False),
        ("v1.36.3", "v2.0.0", False),
        ("", "v1.36.3", False),
    ],
)
def test_kubeadm_goes_one_minor_up_at_most(before: str, after: str, can: bool) -> None:
    assert in_reach(before, after) is can
