"""Stand-ins for what tests must not touch: a Docker Engine in memory, a reporter that remembers, a step that obeys."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
import threading
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from sandbox.engine import Bind, Container, ContainerSpec, Engine, EngineError, Network, Placed
from sandbox.engine.connection import Facts, read_facts
from sandbox.engine.engine_values import ListedContainer
from sandbox.report import Reporter
from sandbox.step import State, Status, Step, Work

# The network of the sandbox "demo".
NETWORK = "sandbox.demo"

Program = Callable[["FakeContainer", Sequence[str]], tuple[int, str]]


@dataclass
class FakeContainer:
    """A container: what it was asked to be and what has become of it."""

    spec: ContainerSpec
    image: str
    read_only: bool = True
    running: bool = True
    address: str = ""
    joined: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    files: dict[PurePosixPath, bytes] = field(default_factory=dict)
    modes: dict[PurePosixPath, int] = field(default_factory=dict)
    signals: list[str] = field(default_factory=list)
    log: str = ""

    @property
    def id(self) -> str:
        return _digest("container", self.spec.name)


@dataclass
class FakeNetwork:
    subnet: str
    labels: Mapping[str, str]
    subnet6: str = ""
    lower: str = ""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


class FakeEngine(Engine):
    """A Docker Engine in memory that refuses what a real one refuses; tests/contract/test_engine.py keeps it honest.

    `images` maps a reference to an id, `upstream` the references that can be pulled; `busy` are ports of the machine
    that other programs hold; `programs` are what containers can execute. With `panic` each container ends at once, and
    this is its log.
    """

    def __init__(self, *images: str) -> None:
        super().__init__(None)
        self.images = {reference: _digest("image", reference) for reference in images}
        self.upstream: set[str] = set()
        self.busy: set[int] = set()
        self.rootless = False
        self.cgroups = 2
        self.deaf = False
        self.panic = ""
        self.shares: bool | None = False
        self.programs: dict[str, Program] = {"busybox": _busybox, "cat": _cat}
        self.boxes: dict[str, FakeContainer] = {}
        self.networks: dict[str, FakeNetwork] = {}
        self.volumes: dict[str, Mapping[str, str]] = {}
        self._lock = threading.RLock()

    def is_heard(self, bind: Bind, *, waits: bool = False) -> bool:
        return not self.deaf

    def shares_network(self) -> bool | None:
        return self.shares

    def id(self) -> str:
        return "FAKE"

    def any_image(self, repository: str) -> str | None:
        return None

    def facts(self) -> Facts:
        info = {"ServerVersion": "28.0.0", "NCPU": 4, "MemTotal": 8 << 30}
        return read_facts({**info, "Rootless": self.rootless, "CgroupVersion": self.cgroups}, api="1.47", local=True)

    # Images

    def inspect_image(self, name: str) -> Mapping[str, Any] | None:
        image = self.images.get(_tagged(name))
        return None if image is None else {"Id": image}

    def load(self, archive: Path) -> None:
        try:
            with tarfile.open(archive) as tar:
                described = tar.extractfile("manifest.json")
                entries = json.load(described) if described else []
        except (tarfile.TarError, KeyError) as error:
            raise _failure(f"loading {archive.name}", str(error)) from error
        for entry in entries:
            digest = "sha256:" + PurePosixPath(entry["Config"]).name.removesuffix(".json")
            self.images |= dict.fromkeys(entry["RepoTags"], digest)

    def pull(self, reference: str, say: Callable[[str], None] = lambda _: None) -> None:
        if reference not in self.upstream:
            raise _failure(f"pulling {reference}", "manifest unknown")
        self.images[reference] = _digest("image", reference)

    def can_pull(self, reference: str) -> bool:
        return reference in self.upstream

    def tag(self, reference: str, name: str) -> None:
        self.images[_tagged(name)] = self._image(reference, f"tagging {reference}")

    def save(self, names: Sequence[str]) -> Iterator[bytes]:
        raise NotImplementedError("tests.images has an engine that saves")

    def build(self, context: Path, tag: str) -> None:
        dockerfile = context / "Dockerfile"
        if not dockerfile.exists():
            raise _failure(f"building {tag}", f"no Dockerfile in {context}")
        self.images[_tagged(tag)] = _digest("image", dockerfile.read_text())

    # Containers

    def container(self, name: str) -> Container | None:
        box = self.boxes.get(name)
        if box is None:
            return None
        spec = box.spec
        published = {inner: frozenset(binds) for inner, binds in spec.publish.items()}
        return Container(
            name=name,
            id=box.id,
            running=box.running,
            image=box.image,
            labels=dict(spec.labels),
            addresses={network: self._address(box, network) for network in box.ids} if box.running else {},
            published=published,
            network=spec.network,
            attached=dict(box.ids),
            mounts=frozenset(map(str, spec.binds)),
            volumes=frozenset(spec.volumes),
            addresses6={
                name: f"{network.subnet6.partition('/')[0]}{self._address(box, name).rpartition('.')[2]}"
                for name, network in self.networks.items()
                if box.running and name in box.ids and network.subnet6
            },
        )

    def containers(self, label: str) -> tuple[Container, ...]:
        key, equals, value = label.partition("=")
        boxes = [box for box in self.boxes.values() if key in box.spec.labels]
        named = [box.spec.name for box in boxes if not equals or box.spec.labels[key] == value]
        return tuple(container for name in named if (container := self.container(name)))

    def listed(self) -> tuple[ListedContainer, ...]:
        boxes = self.boxes.values()
        return tuple(
            ListedContainer(box.spec.name, "running" if box.running else "exited", box.spec.labels) for box in boxes
        )

    def memory(self, name: str) -> int:
        return 10 << 20 if self.boxes[name].running else 0

    def publisher(self, port: int) -> str | None:
        for box in sorted(self.boxes.values(), key=lambda box: (box.spec.forwarded, box.spec.name)):
            if box.running and any(bind.port == port for binds in box.spec.publish.values() for bind in binds):
                return box.spec.name
        return None

    def run(self, spec: ContainerSpec) -> None:
        doing = f"starting container {spec.name}"
        with self._lock:
            self._require_unused(spec.name, doing)
            self.add(FakeContainer(spec, self._image(spec.image, doing)))
            for folder, files in spec.folders.items():
                self.put_files(spec.name, folder, files)
            for network, address in spec.joined.items():
                self.connect_network(network, spec.name, address)
            if self.panic:
                self.boxes[spec.name].running, self.boxes[spec.name].log = False, self.panic

    def run_another(
        self, name: str, like: str, labels: Mapping[str, str], *, without: Sequence[str] = (), image: str | None = None
    ) -> None:
        doing = f"starting container {name}"
        self._require_unused(name, doing)
        before = self._box(like, doing)
        kept = {key: value for key, value in before.spec.environment.items() if key not in without}
        spec = replace(before.spec, name=name, labels={**before.spec.labels, **labels}, environment=kept, publish={})
        made_of = self._image(image, doing) if image else before.image
        self.add(FakeContainer(spec, made_of, read_only=before.read_only))

    def add(self, box: FakeContainer) -> None:
        """A container that another user made, such as a node of kind."""
        self._connect(box)
        self.boxes[box.spec.name] = box
        for volume in box.spec.volumes:
            self.volumes.setdefault(volume, {})

    def remove_container(self, name: str) -> bool:
        box = self.boxes.pop(name, None)
        for volume in box.spec.volumes if box else ():
            if re.fullmatch("[0-9a-f]{64}", volume):  # an anonymous one
                self.volumes.pop(volume, None)
        return box is not None

    def start(self, name: str) -> None:
        box = self._box(name, f"starting container {name}")
        if not box.running:
            self._connect(box)
            box.running = True

    def stop(self, name: str) -> None:
        self._box(name, f"stopping container {name}").running = False

    def since(self, name: str) -> datetime:
        self._box(name, f"looking at container {name}")
        return datetime(2026, 1, 1, tzinfo=UTC)

    def keep_stopped(self, name: str) -> None:
        self._box(name, f"changing container {name}")

    def rename(self, name: str, new: str) -> None:
        doing = f"renaming container {name}"
        box = self._box(name, doing)
        self._require_unused(new, doing)
        box.spec = replace(box.spec, name=new)
        self.boxes[new] = self.boxes.pop(name)

    def signal(self, name: str, signal: str) -> None:
        box = self._running(name, f"signalling container {name}")
        box.signals.append(signal)
        box.running = signal not in {"SIGTERM", "SIGKILL"}

    def logs(self, name: str, *, lines: int = 15) -> str:
        return "".join(self._box(name, f"reading the log of {name}").log.splitlines(keepends=True)[-lines:])

    def execute(self, name: str, argv: Sequence[str]) -> tuple[int, str]:
        box = self._running(name, f"running {argv[0]} in {name}")
        program = self.programs.get(argv[0])
        if program is None:
            return 126, f'exec: "{argv[0]}": executable file not found in $PATH'
        return program(box, argv)

    def read_files(self, name: str, paths: Iterable[PurePosixPath]) -> Mapping[PurePosixPath, bytes | None]:
        return {path: self.read_file(name, path) for path in paths}

    def write_files(
        self, name: str, files: Mapping[PurePosixPath, bytes], *, private: Collection[PurePosixPath] = ()
    ) -> None:
        what = f"writing {', '.join(map(str, files))} in {name}"
        box = self._box(name, what)
        if box.read_only:
            raise _failure(what, "container rootfs is marked read-only")
        box.files |= files
        box.modes |= dict.fromkeys(files, 0o644) | dict.fromkeys(private, 0o600)

    def put_files(self, name: str, folder: str, files: Mapping[str, Placed]) -> None:
        box = self._box(name, f"writing {', '.join(files)} in {name}")
        box.files |= {PurePosixPath(folder, path): file.data for path, file in files.items() if file.data is not None}
        box.modes |= {PurePosixPath(folder, path): file.mode for path, file in files.items()}

    def copy_file(self, name: str, source: Path, folder: PurePosixPath) -> None:
        self._box(name, f"copying {source.name} into {name}").files[folder / source.name] = source.read_bytes()

    def read_file(self, name: str, path: PurePosixPath) -> bytes | None:
        box = self.boxes.get(name)
        return box.files.get(path) if box else None

    # Networks and volumes

    def network(self, name: str) -> Network | None:
        bridge = self.networks.get(name)
        if bridge is None:
            return None
        boxes = (box for box in self.boxes.values() if box.running and box.ids.get(name) == bridge.id)
        return Network(
            name=name,
            subnet=bridge.subnet,
            labels=dict(bridge.labels),
            members=frozenset(box.spec.name for box in boxes),
            subnet6=bridge.subnet6,
            id=bridge.id,
            lower=bridge.lower,
        )

    def spare_networks(self, name: str) -> tuple[Network, ...]:
        return ()

    def labelled_networks(self, label: str) -> tuple[str, ...]:
        return tuple(sorted(name for name, one in self.networks.items() if label.partition("=")[0] in one.labels))

    def create_network(self, name: str, labels: Mapping[str, str], *, subnet6: str = "", halved: bool = False) -> None:
        if name in self.networks:
            raise _failure(f"making network {name}", f"network with name {name} already exists")
        address = f"172.{30 + len(self.networks)}.0.0"
        lower = f"{address}/17" if halved else ""
        self.networks[name] = FakeNetwork(f"{address}/16", dict(labels), subnet6, lower)

    def connect_network(self, name: str, container: str, address: str = "") -> None:
        doing = f"connecting {container} to network {name}"
        box = self._box(container, doing)
        if name not in self.networks:
            raise _failure(doing, f"network {name} not found")
        if name in box.ids:
            raise _failure(doing, f"endpoint with name {container} already exists in network")
        address = address or self._free(name)
        if address in self._used():
            raise _failure(doing, "Address already in use")
        box.ids[name] = self.networks[name].id
        if name == box.spec.network:
            box.address = address
        else:
            box.joined[name] = address

    def disconnect_network(self, name: str, container: str) -> None:
        doing = f"disconnecting {container} from network {name}"
        box = self._box(container, doing)
        if box.ids.pop(name, None) is None:
            raise _failure(doing, f"container {container} is not connected to network {name}")
        box.joined.pop(name, None)

    def remove_network(self, name: str) -> None:
        name = next((known for known, one in self.networks.items() if one.id == name), name)
        found = self.network(name)
        if found and found.members:
            raise _failure(f"removing network {name}", f"network {name} has active endpoints")
        self.networks.pop(name, None)

    def volume_labels(self, name: str) -> Mapping[str, str] | None:
        return self.volumes.get(name)

    def labelled_volumes(self, label: str) -> Mapping[str, Mapping[str, str]]:
        return {name: labels for name, labels in self.volumes.items() if label in labels}

    def create_volume(self, name: str, labels: Mapping[str, str]) -> None:
        self.volumes.setdefault(name, dict(labels))

    def remove_volume(self, name: str) -> bool:
        if any(name in box.spec.volumes for box in self.boxes.values()):
            raise _failure(f"removing volume {name}", "volume is in use")
        return self.volumes.pop(name, None) is not None

    def _require_unused(self, name: str, doing: str) -> None:
        if name in self.boxes:
            raise _failure(doing, f'The container name "/{name}" is already in use')

    def _image(self, reference: str, doing: str) -> str:
        found = reference if reference in self.images.values() else self.images.get(_tagged(reference))
        if found is None:
            raise _failure(doing, f"No such image: {reference}")
        return found

    def _connect(self, box: FakeContainer) -> None:
        """Join the network and take the ports, as a start does."""
        doing, spec = f"starting container {box.spec.name}", box.spec
        if spec.network in ("host", "none"):
            return
        network = self.networks.get(spec.network)
        if network is None:
            raise _failure(doing, f"network {spec.network} not found")
        if box.ids.get(spec.network, network.id) != network.id:  # the engine keeps to the one that it knows by its id
            raise _failure(doing, f"network {box.ids[spec.network]} not found")
        taken = {
            bind
            for other in self.boxes.values()
            if other.running and other is not box and other.spec.forwarded
            for binds in other.spec.publish.values()
            for bind in binds
        }
        for bind in (bind for binds in spec.publish.values() for bind in binds if spec.forwarded):
            if bind in taken:
                raise _failure(doing, f"Bind for {bind.address}:{bind.port} failed: port is already allocated")
            if bind.port in self.busy:
                raise _failure(doing, f"listen tcp4 {bind.address}:{bind.port}: address already in use")
        box.address = spec.address or self._free(spec.network)
        box.ids[spec.network] = network.id

    def _free(self, network: str) -> str:
        used = self._used()
        prefix = self.networks[network].subnet.removesuffix("0.0/16")
        return next(address for last in range(2, 250) if (address := f"{prefix}0.{last}") not in used)

    def _used(self) -> set[str]:
        running = (one for one in self.boxes.values() if one.running)
        return {address for one in running for address in (one.address, *one.joined.values())}

    def _address(self, box: FakeContainer, network: str) -> str:
        return box.address if network == box.spec.network else box.joined[network]

    def _box(self, name: str, doing: str) -> FakeContainer:
        if name not in self.boxes:
            raise _failure(doing, f"No such container: {name}")
        return self.boxes[name]

    def _running(self, name: str, doing: str) -> FakeContainer:
        box = self._box(name, doing)
        if not box.running:
            raise _failure(doing, f"Container {name} is not running")
        return box


def _failure(doing: str, details: str) -> EngineError:
    return EngineError(f"{doing} failed", details=details)


def _busybox(box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
    match argv[1:]:
        case ["true"]:
            return 0, ""
        case ["false"]:
            return 1, ""
        case ["echo", *words]:
            return 0, " ".join(words) + "\n"
    return 127, f"{argv[1]}: applet not found\n"


def _cat(box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
    found = box.files.get(PurePosixPath(argv[1]))
    return (
        (0, found.decode()) if found is not None else (1, f"cat: can't open '{argv[1]}': No such file or directory\n")
    )


def _tagged(reference: str) -> str:
    return reference if ":" in reference.rpartition("/")[2] else f"{reference}:latest"


def _digest(kind: str, text: str) -> str:
    digest = hashlib.sha256(f"{kind} {text}".encode()).hexdigest()
    return f"sha256:{digest}" if kind == "image" else digest


class RecordingReporter(Reporter):
    """Remembers (event, step) in the order in which they came; `details` holds the words."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.details: dict[tuple[str, str], str] = {}

    def of(self, what: str) -> list[str]:
        """The steps of which `what` was told."""
        return [step for told, step in self.events if told == what]

    def event(self, event: str, step: str, detail: str = "", seconds: float | None = None) -> None:
        self.events.append((event, step))
        self.details[event, step] = detail


class NoWork:
    def say(self, line: str) -> None:
        return

    def usable(self) -> None:
        return


def applied(step: Step) -> Status:
    """Apply the step; return what it says of itself afterwards."""
    step.apply(NoWork())
    return step.check()


@dataclass(eq=False)
class FakeStep:
    """A step over `world`, a set of names of what exists; `drifted` ones exist but are not as they should be.

    `stale` ones cannot be repaired, only rebuilt. `resting` ones were stopped.
    `making` and `unmaking` run inside apply (half-way: the thing exists, drifted) and undo. One that `grows` has a
    part on every node.
    """

    name: str
    world: set[str]
    requires: tuple[str, ...] = ()
    drifted: set[str] = field(default_factory=set)
    stale: set[str] = field(default_factory=set)
    resting: set[str] = field(default_factory=set)
    making: Callable[[Work], object] = lambda work: None
    unmaking: Callable[[], object] = lambda: None
    after: tuple[str, ...] = ()
    grows: bool = False

    @property
    def title(self) -> str:
        return self.name.title()

    def check(self) -> Status:
        if self.name not in self.world:
            return Status(State.ABSENT)
        if self.name in self.stale:
            return Status(State.STALE, "of another kind", "its data")
        return Status(State.DRIFTED, "half") if self.name in self.drifted else Status(State.READY, "whole")

    def apply(self, work: Work) -> Status | None:
        self.world.add(self.name)
        self.drifted.add(self.name)
        self.making(work)
        self.drifted.discard(self.name)
        return None

    def stop(self) -> bool:
        self.unmaking()
        ran = self.name in self.world - self.resting
        self.resting.add(self.name)
        return ran

    def rebuild(self, work: Work) -> None:
        self.stale.discard(self.name)
        self.apply(work)

    def undo(self) -> bool:
        self.unmaking()
        known = self.name in self.world
        self.world.discard(self.name)
        self.drifted.discard(self.name)
        return known
