"""The container that reads the engine's folders: what it may, that it never stays, and that its word is not taken."""

from __future__ import annotations

import base64
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sandbox.engine import Container, Engine, EngineError
from sandbox.engine.engine_values import Bind
from sandbox.errors import SandboxError
from sandbox.images.images_yaml import FromDaemon
from sandbox.images.progress import Action
from sandbox.images.push import push
from sandbox.images.sources import engine_store
from sandbox.images.sources.blob_socket import SOCKET
from sandbox.images.sources.image_source import EngineAccess, Inside, Job, Sent
from sandbox.images.sources.layer_helper import LABEL, LayerHelper
from sandbox.images.sources.tar_split import Unreadable
from sandbox.oci.client import Client
from sandbox.oci.compression import Compression
from sandbox.oci.manifest import Descriptor
from sandbox.oci.reference import parse_target
from tests.support.engine_folder import ContainerdEngine, ReadableEngine
from tests.support.images import TestImage, digest_of, layer
from tests.support.registry_simulator import Simulator

IMAGE = TestImage((layer(1, 30_000), layer(2, 20_000)), "app")
ENTRY = FromDaemon(parse_target("app:1"), "app:1")
FOLDERS = engine_store.overlay_folders(
    {"GraphDriver": {"Name": "overlay2", "Data": {"UpperDir": "/var/lib/docker/overlay2/a/diff"}}}
)
PROCESSES = Path("/proc/self/ns/pid")
JOBS = (Job("app", "sha256:1", "sha256:2"), Job("app", "sha256:3"))


@dataclass
class Containers:
    """An engine's containers: `registry` publishes port 5001; `said` is what a started one writes."""

    said: tuple[str, ...] = ()
    left: dict[str, str] = field(default_factory=dict)
    fails: bool = False
    made: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = field(default_factory=list)

    def publisher(self, port: int) -> str | None:
        return "registry" if port == 5001 else None

    def container(self, name: str) -> Container:
        return Container(
            name=name,
            id="",
            running=True,
            image="",
            labels={},
            addresses={"sandbox.demo": "172.20.0.2"},
            published={5000: frozenset({Bind("127.0.0.1", 5001)}), 80: frozenset()},
        )

    def network(self, name: str) -> Any:
        return SimpleNamespace(subnet="172.20.0.0/16", gateway="172.20.0.1")

    def containers(self, label: str) -> list[Any]:
        return [SimpleNamespace(name=name, labels={label: pid}) for name, pid in self.left.items()]

    def security_options(self, *, mounts: bool) -> list[str]:
        assert mounts
        return ["no-new-privileges"]

    def make(self, name: str, config: Mapping[str, Any], host: Mapping[str, Any]) -> None:
        self.made.append((config, host))
        self.left[name] = config["Labels"][LABEL]
        if self.fails:
            raise EngineError("no space left on device")

    def start(self, name: str) -> None:
        assert name in self.left

    def follow(self, name: str) -> Iterator[str]:
        yield from self.said

    def remove_container(self, name: str) -> bool:
        return self.left.pop(name, None) is not None


def helper_of(containers: Containers, image: str | None = "reader:1") -> LayerHelper:
    return LayerHelper(cast("Engine", containers), lambda: image)


def test_the_container_may_read_two_folders_and_nothing_else() -> None:
    sizes: list[int] = []
    containers = Containers(('{"digest":"a","sent":5}', "panic: odd", '{"digest":"a","error":"gone"}'))
    helper_of(containers).send(JOBS, FOLDERS, 5001, sizes.append)
    ((config, host),) = containers.made
    assert [json.loads(one) for one in config["Cmd"]] == [
        {"repository": "app", "digest": "sha256:1", "chain": "sha256:2", "tree": False},
        {"repository": "app", "digest": "sha256:3", "chain": "", "tree": False},
    ]
    assert config["Env"] == ["REGISTRY=http://172.20.0.2:5000"]
    assert config["Labels"] == {LABEL: f"{os.getpid()} {PROCESSES.readlink()}"}
    assert host["Mounts"] == [
        {"Type": "bind", "Source": "/var/lib/docker/image/overlay2", "Target": "/image", "ReadOnly": True},
        {"Type": "bind", "Source": "/var/lib/docker/overlay2", "Target": "/overlay2", "ReadOnly": True},
    ]
    assert (host["CapDrop"], host["CapAdd"]) == (["ALL"], ["DAC_READ_SEARCH"])
    assert (host["SecurityOpt"], host["ReadonlyRootfs"], host["NetworkMode"]) == (
        ["no-new-privileges"],
        True,
        "sandbox.demo",
    )
    assert sum(sizes) == 5
    assert containers.left == {}


def test_an_interrupt_while_it_reads_removes_it() -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    containers = Containers(('{"digest":"a","sent":5}',))
    with pytest.raises(KeyboardInterrupt):
        helper_of(containers).send(JOBS, FOLDERS, 5001, interrupted)
    assert containers.left == {}


def test_container_that_is_gone_before_it_is_heard_is_no_failure() -> None:
    class Brief(Containers):
        def follow(self, name: str) -> Iterator[str]:
            raise EngineError("no such container")

    containers = Brief()
    helper_of(containers).send(JOBS, FOLDERS, 5001, print)
    assert containers.made[0][1]["AutoRemove"]
    assert containers.left == {}


def test_a_container_that_cannot_be_made_is_not_left() -> None:
    containers = Containers(fails=True)
    with pytest.raises(EngineError):
        helper_of(containers).send(JOBS, FOLDERS, 5001, print)
    assert containers.left == {}


def test_leftovers_of_a_killed_run_are_removed_by_the_next() -> None:
    containers = Containers(left={"dead": "999999999", "alive": str(os.getpid())})
    helper_of(containers).send(JOBS, FOLDERS, 5001, print)
    assert list(containers.left) == ["alive"]


def test_a_helper_of_another_process_namespace_stays() -> None:
    """As of another CI job on the same engine, in a container of its own."""
    mine = PROCESSES.readlink()
    containers = Containers(left={"theirs": "999999999 pid:[1]", "dead": f"999999999 {mine}", "odd": f"x {mine}"})
    helper_of(containers).send(JOBS, FOLDERS, 5001, print)
    assert list(containers.left) == ["theirs"]


def test_documents_are_kept_by_what_they_are() -> None:
    data = b'{"schemaVersion":2}'
    lines = [
        {"digest": "sha256:other", "document": base64.b64encode(data).decode()},
        {"digest": "a", "document": "?"},
        {"digest": "b", "repository": "app", "done": True},
        {"digest": "c", "done": True},
    ]
    sent = helper_of(Containers(tuple(map(json.dumps, lines)))).send(JOBS, FOLDERS, 5001, print)
    assert sent.documents == {digest_of(data): data}
    assert sent.blobs == [("app", "b")]


@pytest.mark.parametrize(("port", "image"), [(5002, "reader:1"), (5001, None)])
def test_without_a_registry_or_an_image_it_does_not_begin(port: int, image: str | None) -> None:
    containers = Containers()
    with pytest.raises(Unreadable):
        helper_of(containers, image).send(JOBS, FOLDERS, port, print)
    assert containers.made == []


def test_more_jobs_than_a_command_line_holds_do_not_begin() -> None:
    with pytest.raises(Unreadable):
        helper_of(Containers()).send(JOBS * 20_000, FOLDERS, 5001, print)


def poured(folder: Path, *blobs: tuple[str, bytes]) -> None:
    """Send blobs as the program does, each on a connection of its own."""
    for digest, data in blobs:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(folder / SOCKET))
            connection.sendall(f"{digest}\n".encode() + data)


def test_blobs_that_are_read_pass_through_a_socket(tmp_path: Path) -> None:
    """The helper reads for a push that compresses → it has no network, and its folder is gone afterwards."""

    class Pouring(Containers):
        def follow(self, name: str) -> Iterator[str]:
            ((_, host),) = self.made
            out = next(one["Source"] for one in host["Mounts"] if one["Target"] == "/out")
            poured(Path(out), ("sha256:1", b"x" * 3_000_000), ("sha256:3", b""))
            yield '{"digest":"sha256:3","error":"gone"}'

    found: dict[str, bytes] = {}
    containers = Pouring()
    helper_of(containers).read(JOBS, FOLDERS, tmp_path, lambda digest, data: found.update({digest: b"".join(data)}))
    assert found == {"sha256:1": b"x" * 3_000_000, "sha256:3": b""}
    ((config, host),) = containers.made
    assert (host["NetworkMode"], config["Env"]) == ("none", [f"OUT=/out/{SOCKET}"])
    assert (list(tmp_path.iterdir()), containers.left) == ([], {})


def test_a_path_too_long_for_a_socket_does_not_begin(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    with pytest.raises(Unreadable):
        helper_of(Containers()).read(JOBS, FOLDERS, deep, lambda *_: None)
    assert list(deep.iterdir()) == []


@dataclass
class Sending:
    """A helper that sends the blobs of `image`, but for those that it leaves out, or ends with `error`."""

    url: str
    without: Sequence[bytes] = ()
    error: SandboxError | None = None
    jobs: list[Job] = field(default_factory=list)
    image: TestImage = IMAGE
    blobs: Path = Path()

    def registry(self, port: int) -> Inside:
        raise Unreadable("the registry of these tests is no container")

    def send(self, jobs: Sequence[Job], folders: Mapping[str, Path], port: int, sent: Callable[[int], None]) -> Sent:
        self.jobs += jobs
        if self.error:
            raise self.error
        done, files = Sent(), {d: data for d, data in self.image.files.items() if data not in self.without}
        files |= {digest_of(data): data for data in self.image.layers if data not in self.without}
        with Client(self.url) as client:
            for job in jobs:
                if job.tree and folders == {"/blobs": self.blobs} and (data := files.get(job.digest)):
                    done.documents[job.digest] = data
                names = [digest_of(one) for one in (*self.image.blobs, self.image.config)] if job.tree else [job.digest]
                for name in names if not job.tree or done.documents else ():
                    if data := files.pop(name, b""):
                        client.put_blob(job.repository, Descriptor("", name, len(data)), [data])
                        sent(len(data))
                        done.blobs.append((job.repository, name))
        return done

    def read(
        self,
        jobs: Sequence[Job],
        folders: Mapping[str, Path],
        spool: Path | None,
        take: Callable[[str, Iterator[bytes]], None],
    ) -> None:
        self.jobs += jobs
        if self.error:
            raise self.error
        blobs = {digest_of(data): data for data in (*self.image.layers, self.image.config)}
        for job in jobs:
            data = blobs[job.digest]
            take(job.digest, iter([data[:-1] + b"?" if data in self.without else data]))


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReadableEngine:
    """An engine whose folder this user may not read."""
    monkeypatch.setattr(engine_store, "is_readable", lambda _: False)
    return ReadableEngine({"app:1": IMAGE}, folder=tmp_path)


def test_layers_that_only_a_helper_may_read_are_not_saved(registry: Simulator, engine: ReadableEngine) -> None:
    helper = Sending(registry.url)
    (result,) = push([ENTRY], registry.url, engine, access=EngineAccess(helper=helper))
    assert (result.size, engine.saves) == (sum(map(len, (*IMAGE.layers, IMAGE.config))), [])
    first, second = (digest_of(one) for one in IMAGE.layers)
    chain = digest_of(f"{first} {second}".encode())
    assert helper.jobs == [Job("app", first, first), Job("app", second, chain), Job("app", digest_of(IMAGE.config))]
    with Simulator() as other:
        assert push([ENTRY], other.url, engine)[0].digest == result.digest


def test_a_helper_is_asked_for_missing_layers_only(registry: Simulator, engine: ReadableEngine) -> None:
    push([ENTRY], registry.url, engine, access=EngineAccess(reading=False))
    helper = Sending(registry.url)
    other = TestImage((IMAGE.layers[0], layer(9)), "app")
    push(
        [ENTRY],
        registry.url,
        ReadableEngine({"app:1": other}, folder=engine.folder),
        access=EngineAccess(helper=helper),
    )
    assert digest_of(IMAGE.layers[0]) not in [job.digest for job in helper.jobs]


@pytest.mark.parametrize("without", [(IMAGE.layers[1],), (IMAGE.config,), (*IMAGE.layers, IMAGE.config)])
def test_layer_not_sent_by_the_helper_is_saved(
    registry: Simulator, engine: ReadableEngine, without: Sequence[bytes]
) -> None:
    push([ENTRY], registry.url, engine, access=EngineAccess(helper=Sending(registry.url, without)))
    assert len(engine.saves) == 1


@pytest.mark.parametrize("kind", [Compression.GZIP, Compression.ZSTD])
def test_compressed_layers_are_read_by_a_helper(
    registry: Simulator, engine: ReadableEngine, tmp_path: Path, kind: Compression
) -> None:
    helper, spool = Sending(registry.url), tmp_path / "spool"
    (result,) = push([ENTRY], registry.url, engine, compression=kind, access=EngineAccess(helper=helper, spool=spool))
    assert [job.digest for job in helper.jobs] == [digest_of(one) for one in (*IMAGE.layers, IMAGE.config)]
    assert engine.saves == []
    with Simulator() as other:
        (saved,) = push([ENTRY], other.url, engine, compression=kind, access=EngineAccess(spool=spool))
    assert (saved.digest, len(engine.saves)) == (result.digest, 1)
    helper.jobs.clear()
    assert (
        push([ENTRY], registry.url, engine, compression=kind, access=EngineAccess(helper=helper))[0].action
        is Action.SKIPPED
    )
    assert helper.jobs == []


@pytest.mark.parametrize("without", [(IMAGE.layers[1],), (IMAGE.config,)])
def test_other_bytes_from_a_helper_are_never_pushed(
    registry: Simulator, engine: ReadableEngine, without: Sequence[bytes]
) -> None:
    helper = Sending(registry.url, without)
    push([ENTRY], registry.url, engine, compression=Compression.ZSTD, access=EngineAccess(helper=helper))
    assert len(engine.saves) == 1
    assert all(digest_of(data) == digest for digest, data in registry.content.items())


@pytest.fixture
def containerd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ContainerdEngine:
    """An engine with the containerd store, whose folders this user may not read."""
    image = TestImage(IMAGE.layers, "app", compressed=True)
    engine = ContainerdEngine({"app:1": image}, containerd=True, folder=tmp_path)
    monkeypatch.setattr(ContainerdEngine, "root", lambda _: Path("/nowhere/docker"))
    return engine


def test_blobs_of_containerd_keep_their_digests(registry: Simulator, containerd: ContainerdEngine) -> None:
    image = containerd.images["app:1"]
    helper = Sending(registry.url, image=image, blobs=engine_store.content_folders(Path("/nowhere/docker"))[1])
    entries = [ENTRY, FromDaemon(parse_target("copy:1"), "app:1")]
    results = push(entries, registry.url, containerd, access=EngineAccess(helper=helper))
    assert {one.digest for one in results} == {digest_of(image.manifest)}
    assert containerd.saves == []
    assert sum(one.size for one in results) == sum(map(len, (*image.blobs, image.config)))
    assert push(entries, registry.url, containerd, access=EngineAccess(helper=helper))[1].action is Action.SKIPPED


def test_an_image_of_containerd_with_a_blob_missing_is_saved(registry: Simulator, containerd: ContainerdEngine) -> None:
    image = containerd.images["app:1"]
    blobs = engine_store.content_folders(Path("/nowhere/docker"))[0]
    helper = Sending(registry.url, without=(image.blobs[1],), image=image, blobs=blobs)
    (result,) = push([ENTRY], registry.url, containerd, access=EngineAccess(helper=helper))
    assert (result.digest, len(containerd.saves)) == (digest_of(image.manifest), 1)


def test_without_a_helper_that_begins_images_are_saved(registry: Simulator, engine: ReadableEngine) -> None:
    push(
        [ENTRY],
        registry.url,
        engine,
        access=EngineAccess(helper=Sending(registry.url, error=Unreadable("no layer-reader"))),
    )
    assert len(engine.saves) == 1
