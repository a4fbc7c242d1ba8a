"""The registry's container and volume, over an engine in memory, its port answered by a registry in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock
from urllib.parse import urlsplit

import pytest

from sandbox.bundle.system_images import UPSTREAM
from sandbox.components.registry import container_step
from sandbox.components.registry.container_step import DATA, PORT, RegistryStep
from sandbox.engine import Bind, ContainerSpec
from sandbox.errors import SandboxError
from sandbox.names import EDGE, Names
from sandbox.step import State
from sandbox.system.interruption import Interrupted
from tests.support.fakes import NETWORK, FakeContainer, FakeEngine, NoWork, applied
from tests.support.registry_simulator import Fault, Simulator

IMAGE = UPSTREAM["registry"]


@pytest.fixture
def step(engine: FakeEngine, names: Names, registry: Simulator) -> RegistryStep:
    port = urlsplit(registry.url).port or 0
    return RegistryStep(engine=engine, names=names, image=IMAGE, edge_image=UPSTREAM["haproxy"], port=port)


def test_registry_is_served_by_the_edge_with_data_in_a_volume(engine: FakeEngine, step: RegistryStep) -> None:
    names = step.names
    assert step.check().state is State.ABSENT
    assert applied(step).state is State.READY
    box = engine.boxes[names.registry]
    assert engine.publisher(step.port) == names.registry and not box.spec.forwarded
    assert (Bind("127.0.0.1", step.port),) in engine.boxes[EDGE].spec.publish.values()
    assert NETWORK in engine.boxes[EDGE].spec.joined, "the edge reaches the registry before there is a cluster"
    assert engine.volumes[names.volume] == {**names.labels, PORT: str(step.port)}
    assert names.labels.items() <= box.spec.labels.items()
    assert box.spec.volumes == {names.volume: "/var/lib/registry"}
    assert box.spec.environment["REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY"] == "/var/lib/registry"


@pytest.mark.fault(20)
def test_down_keeps_the_data_until_a_purge(engine: FakeEngine, names: Names, step: RegistryStep) -> None:
    """The registry's container goes and comes again → its data is still there."""
    purging = replace(step, purge=True)
    assert not purging.undo()
    step.apply(NoWork())
    assert step.undo()
    assert (list(engine.boxes), list(engine.volumes)) == ([], [names.volume])
    assert not step.undo()
    assert purging.undo()
    step.apply(NoWork())
    assert purging.undo()
    assert (engine.boxes, engine.volumes) == ({}, {})


@pytest.mark.fault(23)
def test_container_and_volume_of_another_user_are_kept(engine: FakeEngine, names: Names, step: RegistryStep) -> None:
    """A container and a volume with our names but without our label → refused; `down --purge` spares both."""
    engine.run(ContainerSpec(name=names.registry, image=step.image, command=("sleep",), labels={}, network=NETWORK))
    engine.create_volume(names.volume, {})
    with pytest.raises(SandboxError) as caught:
        step.apply(NoWork())
    assert caught.value.id == "name-taken" and f"docker rename {names.registry}" in caught.value.fix
    assert not replace(step, purge=True).undo()
    assert (list(engine.boxes), list(engine.volumes)) == ([names.registry], [names.volume])


Harm = Callable[[FakeEngine, RegistryStep, Simulator], object]


@pytest.mark.fault(21, 22)
@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda engine, step, _: engine.signal(step.names.registry, "SIGTERM"), "stopped"),
        (lambda engine, step, _: engine.boxes[step.names.registry].ids.clear(), f"is not on the network {NETWORK}"),
        (lambda engine, *_: engine.images.update({IMAGE: "sha256:newer"}), "runs another image"),
        (lambda engine, *_: engine.remove_container(EDGE), ""),
        (lambda _, __, registry: registry.faults.append(Fault("GET", "/v2/$", 404)), ""),
        (lambda _, step, __: step.start(read_only=True), "has other settings"),  # a collection that was killed
    ],
)
def test_harm_to_the_registry_is_repaired_over_its_data(
    engine: FakeEngine, step: RegistryStep, registry: Simulator, harm: Harm, reason: str
) -> None:
    """The registry's container is stopped, or on another network → `up` puts it right."""
    step.apply(NoWork())
    harm(engine, step, registry)
    status = step.check()
    assert (status.state, reason in status.detail) == (State.DRIFTED, True)
    assert applied(step).state is State.READY
    assert engine.boxes[step.names.registry].spec.volumes == {step.names.volume: "/var/lib/registry"}


def test_registry_stops_and_starts_and_its_port_stays(engine: FakeEngine, names: Names, step: RegistryStep) -> None:
    assert not step.stop()
    step.apply(NoWork())
    assert step.stop()
    assert not engine.boxes[names.registry].running and engine.boxes[EDGE].running
    assert applied(step).state is State.READY


def test_registry_that_exits_is_an_error_with_its_last_lines(engine: FakeEngine, step: RegistryStep) -> None:
    engine.panic = "panic: no space left\n"
    with pytest.raises(SandboxError, match="the registry stopped") as caught:
        step.apply(NoWork())
    assert "no space left" in caught.value.details


def test_registry_data_may_be_a_users_folder(engine: FakeEngine, step: RegistryStep, tmp_path: Path) -> None:
    folder = tmp_path / "made" / "images"
    stored = replace(step, storage=folder, purge=True)
    assert applied(stored).state is State.READY
    box = engine.boxes[step.names.registry]
    owner = folder.stat()
    assert box.spec.volumes == {str(folder): "/var/lib/registry"}
    assert box.spec.user == f"{owner.st_uid}:{owner.st_gid}"  # its root, without capabilities, could not write there
    assert stored.undo()
    assert folder.is_dir()
    engine.rootless = True  # its root is the user
    stored.apply(NoWork())
    assert engine.boxes[step.names.registry].spec.user is None


LISTED = f"""\
find: {DATA}/docker: No such file or directory
30 {DATA}/docker/registry/v2/repositories/a/b/_uploads/0123-4567/data
2 {DATA}/docker/registry/v2/repositories/a/b/_uploads/0123-4567/hashstates/sha256/0
5 {DATA}/quarantine/abcdef/data
"""


@pytest.fixture
def ran(engine: FakeEngine, names: Names, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """What was run on the registry's data, in its container and another, and whether it accepted pushes meanwhile."""
    ran: list[tuple[str, bool]] = []

    def note(command: str) -> None:
        environment = engine.boxes[names.registry].spec.environment
        ran.append((command, "REGISTRY_STORAGE_MAINTENANCE_READONLY" not in environment))

    def registry(box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
        note(" ".join(argv[1:-1]))
        return 0, "said\n"

    def run_script(_: object, image: str, script: str, *, volumes: Mapping[str, str], **__: object) -> tuple[int, str]:
        assert (image, volumes) == ("busybox:1", {DATA: names.volume})
        note(script)
        return 0, LISTED

    engine.programs["registry"] = registry
    monkeypatch.setattr("sandbox.engine.container_copy.run_script", run_script)
    return ran


def test_garbage_is_collected_while_pushes_are_refused(step: RegistryStep, ran: list[tuple[str, bool]]) -> None:
    step.apply(NoWork())
    assert step.leftovers("busybox:1") == {"0123-4567": 32, "abcdef": 5}
    assert step.garbage() == step.collect("busybox:1") == "said\n"
    (listing, _), *collections, (removal, accepts_pushes) = ran
    assert " rm " not in listing and " rm -rf " in removal and not accepts_pushes
    collect = "garbage-collect --delete-untagged"
    assert collections == [(f"{collect} --dry-run", True), (collect, False)]
    assert step.check().state is State.READY


def test_failed_or_interrupted_collection_leaves_a_registry_for_pushes(
    engine: FakeEngine, step: RegistryStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    step.apply(NoWork())
    engine.programs["registry"] = lambda box, argv: (1, "said\n")
    with pytest.raises(SandboxError, match="garbage") as caught:
        step.collect("busybox:1")
    assert "said" in caught.value.details
    assert step.check().state is State.READY
    monkeypatch.setattr(container_step, "wait_until", Mock(side_effect=[Interrupted, None]))
    with pytest.raises(Interrupted):
        step.collect("busybox:1")
    assert step.check().state is State.READY
