"""One suite over the engine in memory and over a real one: what the tests assume is what engines do."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from sandbox.app import context
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.engine import Bind, Container, ContainerSpec, Engine, EngineError, Network
from sandbox.engine.container_host import kept_address
from sandbox.system import host_network
from tests.support.bundled import engine_with
from tests.support.fakes import FakeContainer, FakeEngine
from tests.support.ports import free_port

LABEL = "sandbox-test"
BUSYBOX = recipes()["busybox"].reference


@dataclass(frozen=True)
class World:
    """An engine with one image and one network of the test's own; `foreign` starts a container that others made."""

    engine: Engine
    name: str
    image: str
    foreign: Callable[[str], None]

    def spec(self, suffix: str = "", **more: Any) -> ContainerSpec:
        command = ("busybox", "sleep", "600")
        given = {"image": self.image, "command": command, "labels": {LABEL: self.name}, "network": self.name} | more
        return ContainerSpec(name=self.name + suffix, **given)

    def container(self, suffix: str = "") -> Container:
        container = self.engine.container(self.name + suffix)
        assert container is not None
        return container

    def network(self) -> Network:
        network = self.engine.network(self.name)
        assert network is not None
        return network


def fake(name: str) -> World:
    engine = FakeEngine(BUSYBOX)

    def foreign(container: str) -> None:
        spec = ContainerSpec(name=container, image=BUSYBOX, command=("sleep",), labels={LABEL: name}, network=name)
        engine.add(FakeContainer(spec, engine.images[BUSYBOX], read_only=False))

    return World(engine, name, BUSYBOX, foreign)


def real(name: str) -> World:
    engine = engine_with("busybox")

    def foreign(container: str) -> None:
        engine._client.containers.run(
            BUSYBOX, ["busybox", "sleep", "600"], name=container, labels={LABEL: name}, network=name, detach=True
        )

    return World(engine, name, BUSYBOX, foreign)


def clean(world: World) -> None:
    for box in world.engine.containers(f"{LABEL}={world.name}"):
        world.engine.remove_container(box.name)
    world.engine.remove_volume(world.name)
    world.engine.remove_network(world.name)
    if not isinstance(world.engine, FakeEngine) and world.engine.image_id(world.name):
        world.engine._client.api.remove_image(world.name, noprune=True)


@pytest.fixture(params=["memory", pytest.param("docker", marks=pytest.mark.real)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    name = f"sandbox-test-{uuid.uuid4().hex[:8]}"
    with contextlib.ExitStack() as stack:
        made = fake(name) if request.param == "memory" else real(name)
        stack.callback(clean, made)
        made.engine.create_network(name, {LABEL: name})
        yield made


def test_container_has_the_requested_settings(world: World) -> None:
    binds = (Bind("127.0.0.1", free_port()), Bind("127.0.0.1", free_port()))
    assert world.engine.container(world.name) is None
    world.engine.run(world.spec(publish={8080: binds}))
    box = world.container()
    assert (box.name, box.running, box.image) == (world.name, True, world.engine.image_id(world.image))
    assert box.labels[LABEL] == world.name
    assert box.published == {8080: frozenset(binds)}
    assert [world.engine.publisher(bind.port) for bind in binds] == [world.name] * 2
    assert world.engine.publisher(free_port()) is None
    assert IPv4Address(box.addresses[world.name]) in IPv4Network(world.network().subnet)


def test_containers_are_listed_with_state_and_labels(world: World) -> None:
    def listed() -> list[tuple[str, str]]:
        return [(box.name, box.state) for box in world.engine.listed() if box.labels.get(LABEL) == world.name]

    assert not listed()
    world.engine.run(world.spec())
    assert listed() == [(world.name, "running")]
    world.engine.stop(world.name)
    assert listed() == [(world.name, "exited")]


def test_container_like_another_gets_own_name_and_no_ports(world: World) -> None:
    other = f"{world.name}-2"
    with pytest.raises(EngineError, match=r"(?i)no such container"):
        world.engine.run_another(other, world.name, {})
    world.engine.run(world.spec(publish={8080: (Bind("127.0.0.1", free_port()),)}))
    world.engine.run_another(other, world.name, {"role": "worker"})
    first, second = world.container(), world.container("-2")
    assert second.running
    assert (second.image, second.labels) == (first.image, {**first.labels, "role": "worker"})
    assert second.published == {} and second.addresses.keys() == first.addresses.keys()
    with pytest.raises(EngineError, match="already in use"):
        world.engine.run_another(other, world.name, {})


def test_container_with_handed_sockets_is_recognised(world: World) -> None:
    bind = Bind("127.0.0.1", free_port())
    world.engine.run(world.spec(publish={8443: (bind,)}, forwarded=False))
    assert world.container().published == {8443: frozenset({bind})}
    assert world.engine.publisher(bind.port) == world.name
    assert host_network.is_free(bind.address, bind.port), "the engine has no part in it"


def test_a_container_goes_once(world: World) -> None:
    world.engine.run(world.spec())
    assert world.engine.remove_container(world.name) is True
    assert world.engine.remove_container(world.name) is False
    assert world.engine.container(world.name) is None


@pytest.mark.fault(23)
def test_a_taken_name_is_refused_and_its_owner_left_alone(world: World) -> None:
    """Another container has the name → refused, and that container is left as it is."""
    world.engine.run(world.spec())
    before = world.engine.container(world.name)
    with pytest.raises(EngineError, match="already in use"):
        world.engine.run(world.spec())
    assert world.engine.container(world.name) == before


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"image": "sandbox-test-none:1"}, "(?i)no such image: .*sandbox-test-none:1"),
        ({"network": "sandbox-test-none"}, "network .*sandbox-test-none.* not found"),
    ],
)
def test_a_container_that_lacks_something_is_not_left_behind(world: World, more: dict[str, Any], said: str) -> None:
    with pytest.raises(EngineError, match=said):
        world.engine.run(world.spec(**more))
    assert world.engine.container(world.name) is None


@pytest.mark.fault(13)
def test_a_taken_port_is_refused_and_nothing_left_behind(world: World) -> None:
    """The engine itself finds the port taken → an error that says so; the container is not left behind."""
    bind = Bind("127.0.0.1", free_port())
    world.engine.run(world.spec(publish={80: (bind,)}))
    with pytest.raises(EngineError, match=r"port is already allocated|address already in use"):
        world.engine.run(world.spec("-two", publish={80: (bind,)}))
    assert world.engine.container(world.name + "-two") is None


def test_containers_are_found_by_label_and_by_its_value(world: World) -> None:
    world.engine.run(world.spec("-one"))
    world.engine.run(world.spec("-two"))
    world.engine.signal(world.name + "-two", "SIGKILL")
    names = {box.name for box in world.engine.containers(f"{LABEL}={world.name}")}
    assert names == {world.name + "-one", world.name + "-two"}
    assert names <= {box.name for box in world.engine.containers(LABEL)}
    assert world.engine.containers(f"{LABEL}={world.name}-other") == ()


@pytest.mark.parametrize(
    "end", [lambda engine, name: engine.stop(name), lambda engine, name: engine.signal(name, "SIGKILL")]
)
def test_a_container_that_was_ended_stays_and_starts_again(world: World, end: Callable[[Engine, str], None]) -> None:
    bind = Bind("127.0.0.1", free_port())
    world.engine.run(world.spec(publish={80: (bind,)}))
    end(world.engine, world.name)
    stopped = world.container()
    assert (stopped.running, stopped.addresses, stopped.published) == (False, {}, {80: frozenset({bind})})
    assert world.engine.publisher(bind.port) is None
    with pytest.raises(EngineError, match=r"is not running|only .* on running containers"):
        world.engine.execute(world.name, ["busybox", "true"])
    world.engine.start(world.name)
    again = world.container()
    assert again.running and world.name in again.addresses


def test_commands_give_status_and_output(world: World) -> None:
    world.engine.run(world.spec())
    assert world.engine.execute(world.name, ["busybox", "true"]) == (0, "")
    assert world.engine.execute(world.name, ["busybox", "false"])[0] == 1
    assert world.engine.execute(world.name, ["busybox", "echo", "two  words", "é"]) == (0, "two  words é\n")
    many = [world.engine.execute(world.name, ["busybox", "echo", str(number)]) for number in range(20)]
    assert many == [(0, f"{number}\n") for number in range(20)], "output of short commands arrives whole"
    status, output = world.engine.execute(world.name, ["no-such-program"])
    assert status in (126, 127)  # of Docker, of Podman
    assert "executable file not found" in output


def test_files_are_written_with_their_folders_and_read_back(world: World) -> None:
    world.foreign(world.name)
    path = PurePosixPath("/etc/deep/er/hosts.toml")
    assert world.engine.read_file(world.name, path) is None
    world.engine.write_files(world.name, {path: b"one\n"})
    world.engine.write_files(world.name, {path: b"two\n"})
    assert world.engine.read_file(world.name, path) == b"two\n"
    assert world.engine.execute(world.name, ["cat", str(path)]) == (0, "two\n")
    both = {path: b"three\n", PurePosixPath("/etc/deep/other.toml"): b"four\n"}
    world.engine.write_files(world.name, both)
    assert {each: world.engine.read_file(world.name, each) for each in both} == both
    world.engine.write_files(world.name, {})
    world.engine.write_files(world.name, {PurePosixPath("/empty"): b""})
    assert world.engine.read_file(world.name, PurePosixPath("/empty")) == b""


def test_non_file_reads_as_none(world: World) -> None:
    world.engine.run(world.spec())
    for path in ("/etc", "/no/such", *(() if world.engine.is_podman else ("/bin/sh",))):  # Podman follows links
        assert world.engine.read_file(world.name, PurePosixPath(path)) is None
    assert world.engine.read_file("sandbox-test-none", PurePosixPath("/etc")) is None


def test_our_own_containers_cannot_be_written_to(world: World) -> None:
    world.engine.run(world.spec())
    with pytest.raises(EngineError, match="read-only"):
        world.engine.write_files(world.name, {PurePosixPath("/etc/x"): b""})


def test_renamed_container_keeps_running(world: World) -> None:
    engine, new = world.engine, world.name + "-aside"
    engine.run(world.spec())
    before = world.container()
    engine.rename(world.name, new)
    engine.keep_stopped(new)
    renamed = world.container("-aside")
    assert engine.container(world.name) is None
    assert (renamed.running, renamed.image) == (True, before.image)
    engine.run(world.spec())
    with pytest.raises(EngineError, match="already in use"):
        engine.rename(world.name, new)
    for name in (world.name, new):
        engine.remove_container(name)


def test_an_absent_container_refuses_everything(world: World) -> None:
    engine, name = world.engine, "sandbox-test-none"
    calls: list[Callable[[], object]] = [
        lambda: engine.start(name),
        lambda: engine.stop(name),
        lambda: engine.signal(name, "SIGHUP"),
        lambda: engine.rename(name, "sandbox-test-other"),
        lambda: engine.keep_stopped(name),
        lambda: engine.logs(name),
        lambda: engine.execute(name, ["busybox", "true"]),
        lambda: engine.write_files(name, {PurePosixPath("/x"): b""}),
    ]
    for call in calls:
        with pytest.raises(EngineError, match=r"(?i)no such container"):
            call()


def test_network_has_range_and_members_and_goes_without_them(world: World) -> None:
    with pytest.raises(EngineError, match="already exists"):
        world.engine.create_network(world.name, {})
    assert world.engine.network(world.name[:-1]) is None, "found by its whole name only"
    assert world.name in world.engine.labelled_networks(LABEL)
    assert world.engine.labelled_networks("sandbox-test-none") == ()
    world.engine.run(world.spec())
    assert world.network().members == {world.name}
    assert world.network().labels == {LABEL: world.name}
    with pytest.raises(EngineError, match=r"active endpoints|is being used"):
        world.engine.remove_network(world.name)
    world.engine.remove_container(world.name)
    world.engine.remove_network(world.name)
    assert world.engine.network(world.name) is None
    world.engine.remove_network(world.name)


def test_a_network_may_have_ipv6_too(world: World) -> None:
    assert world.network().subnet6 == ""
    world.engine.remove_network(world.name)
    world.engine.create_network(world.name, {LABEL: world.name}, subnet6="fd73:616e:7465::/64")
    assert world.network().subnet6 == "fd73:616e:7465::/64" and world.network().subnet
    world.engine.run(world.spec())
    assert IPv6Address(world.container().addresses6[world.name]) in IPv6Network(world.network().subnet6)


def test_containers_get_the_lower_half_of_a_halved_network(world: World) -> None:
    assert world.network().lower == ""
    world.engine.remove_network(world.name)
    world.engine.create_network(world.name, {LABEL: world.name}, halved=True)
    network = world.network()
    assert network.labels == {LABEL: world.name}
    assert IPv4Network(network.lower) == next(IPv4Network(network.subnet).subnets())
    world.engine.run(world.spec())
    assert IPv4Address(world.container().addresses[world.name]) in IPv4Network(network.lower)
    world.engine.remove_container(world.name)
    world.engine.run(replace(world.spec(), address=kept_address(network, 4)))
    assert world.container().addresses[world.name] == kept_address(network, 4)
    world.engine.disconnect_network(world.name, world.name)
    world.engine.connect_network(world.name, world.name, kept_address(network, 3))
    assert world.container().addresses[world.name] == kept_address(network, 3)
    world.engine.remove_container(world.name)


def test_a_container_leaves_a_network_and_joins_it_again(world: World) -> None:
    world.engine.run(world.spec())
    attached = {world.name: "" if world.engine.is_podman else world.network().id}
    assert (world.container().network, world.container().attached) == (world.name, attached)
    world.engine.disconnect_network(world.name, world.name)
    alone = world.container()
    assert alone.network in (world.name, "bridge") and alone.attached == {} and alone.addresses == {}
    world.engine.connect_network(world.name, world.name)
    assert world.container().attached == attached and world.container().addresses[world.name]
    world.engine.remove_container(world.name)


def test_a_stopped_container_keeps_to_a_network_that_was_removed(world: World) -> None:
    world.engine.run(world.spec())
    world.engine.stop(world.name)
    before = world.network()
    if world.engine.is_podman:
        with pytest.raises(EngineError, match="is being used"):
            world.engine.remove_network(world.name)
        return
    world.engine.remove_network(world.name)
    world.engine.create_network(world.name, {LABEL: world.name})
    assert world.container().attached == {world.name: before.id}
    with pytest.raises(EngineError, match="starting"):
        world.engine.start(world.name)
    world.engine.disconnect_network(world.name, world.name)
    world.engine.connect_network(world.name, world.name)
    world.engine.start(world.name)
    assert world.container().running and world.container().addresses[world.name]
    world.engine.remove_container(world.name)


def test_a_start_gets_the_lowest_address_that_is_free(world: World) -> None:
    suffixes = ("", "-2", "-3")

    def addresses() -> list[str]:
        return [world.container(suffix).addresses[world.name] for suffix in suffixes]

    for suffix in suffixes:
        world.engine.run(world.spec(suffix))
    before = addresses()
    for suffix in suffixes:
        world.engine.stop(world.name + suffix)
    for suffix in reversed(suffixes):
        world.engine.start(world.name + suffix)
    if not world.engine.is_podman:  # which goes on after the last that it gave
        assert addresses() == before[::-1]
    for suffix in suffixes:
        world.engine.remove_container(world.name + suffix)


def test_a_volume_keeps_its_labels_and_goes_when_unused(world: World) -> None:
    assert world.engine.volume_labels(world.name) is None
    world.engine.create_volume(world.name, {LABEL: "first"})
    world.engine.create_volume(world.name, {LABEL: "second"})
    assert world.engine.volume_labels(world.name) == {LABEL: "first"}
    assert world.engine.labelled_volumes(LABEL)[world.name] == {LABEL: "first"}
    assert world.name not in world.engine.labelled_volumes(f"{LABEL}-other")
    world.engine.run(world.spec(volumes={world.name: "/data"}))
    with pytest.raises(EngineError, match=r"volume is (in use|being used)"):
        world.engine.remove_volume(world.name)
    world.engine.remove_container(world.name)
    assert world.engine.volume_labels(world.name) == {LABEL: "first"}
    assert world.engine.remove_volume(world.name) is True
    assert world.engine.remove_volume(world.name) is False


def test_an_engine_tells_of_itself_and_its_machine(world: World) -> None:
    facts = world.engine.facts()
    assert facts.version
    assert facts.local and facts.root.is_absolute() and facts.cgroup_version in (1, 2)
    assert facts.cpus > 0 and facts.memory > 1 << 20
    assert tuple(int(part) for part in facts.api.split(".")) >= (1, 41)


def test_an_image_has_one_id_under_all_its_names(world: World) -> None:
    identity = world.engine.image_id(world.image) or ""
    assert identity.startswith("sha256:")
    world.engine.tag(world.image, world.name)
    assert world.engine.image_id(world.name) == world.engine.image_id(f"{world.name}:latest") == identity
    assert world.engine.image_id("sandbox-test-none:1") is None
    with pytest.raises(EngineError, match=r"No such image|image not known"):
        world.engine.tag("sandbox-test-none:1", "sandbox-test-other:1")


def test_non_archive_is_not_loaded(world: World, tmp_path: Path) -> None:
    (tmp_path / "image.tar").write_bytes(b"not a tar at all")
    with pytest.raises(EngineError, match=r"loading image\.tar failed"):
        world.engine.load(tmp_path / "image.tar")


@pytest.mark.real
def test_a_bundled_image_is_loaded_under_its_name() -> None:
    engine, store = engine_with("busybox"), Store(context.home().bundle)
    if store.has(recipes()["busybox"]):
        memory = FakeEngine()
        memory.load(store.image(recipes()["busybox"]))
        engine.load(store.image(recipes()["busybox"]))
        assert engine.image_id(BUSYBOX) == memory.image_id(BUSYBOX)


@pytest.mark.security(15)
@pytest.mark.real
def test_containers_are_unprivileged_and_restart_with_engine() -> None:
    """Any container of the sandbox → not root, no capability, nothing writable, no new privileges."""
    made = real(f"sandbox-test-{uuid.uuid4().hex[:8]}")
    made.engine.create_network(made.name, {LABEL: made.name})
    try:
        made.engine.run(made.spec(user="65532:65532", memory="64m"))
        seen = made.engine._client.api.inspect_container(made.name)
    finally:
        clean(made)
    host = seen["HostConfig"]
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    # Podman names them one by one.
    assert host["CapDrop"] == ["ALL"] or (len(host["CapDrop"]) >= 11 and not host["CapAdd"])
    assert (host["ReadonlyRootfs"], host["Memory"]) == (True, 64 << 20)
    assert "no-new-privileges" in host["SecurityOpt"]
    assert seen["Config"]["User"] == "65532:65532"
