"""Files read by a container, whose script runs here as a process: shell, xargs, stat and cat are this machine's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from sandbox.engine import Engine
from sandbox.errors import SandboxError
from sandbox.images.image_push import READS, ImagePush, Local
from sandbox.images.lockfile import LockFile
from sandbox.images.push import push
from sandbox.images.sources import engine_container
from sandbox.images.sources.engine_container import ContainerFiles
from sandbox.images.sources.engine_store import OpenedFiles
from sandbox.images.sources.image_source import EngineAccess, Unreadable
from tests.support.container_process import ProcessEngine
from tests.support.engine_folder import ReadableEngine, files
from tests.support.images import TestImage, from_engine, layer, tar
from tests.support.registry_simulator import Simulator

IMAGE = TestImage((layer(1, 30_000), tar({"folder/large": bytes(3_000_000) + b"end", "folder/-n": b"x"})), "app")


@pytest.fixture(params=[True, False], ids=["by a pipe", "by the engine"])
def engine(request: pytest.FixtureRequest) -> Iterator[ProcessEngine]:
    engine = ProcessEngine(local=request.param)
    yield engine
    for name in list(engine.running):
        engine.remove_container(name)


@pytest.fixture
def reading(engine: ProcessEngine, tmp_path: Path) -> Iterator[ContainerFiles]:
    with ContainerFiles(cast("Engine", engine), [tmp_path], spool=tmp_path / "spool") as reading:
        yield reading
    assert not list(tmp_path.glob("spool/*"))


def fill(folder: Path) -> dict[bytes, bytes]:
    contents = {b"a": b"1" * 300_000, b"d/\xfc\n -x": b"odd", b"-n": b"dash", b"d/empty": b""}
    (folder / "d").mkdir()
    for name, data in contents.items():
        (folder / os.fsdecode(name)).write_bytes(data)
    return contents


def test_files_are_read_in_order_by_one_container(
    engine: ProcessEngine, reading: ContainerFiles, tmp_path: Path
) -> None:
    contents = fill(tmp_path)
    sizes = [len(data) for data in contents.values()]
    for way in (reading, OpenedFiles()):
        for _ in range(2):
            with way.read(tmp_path, list(contents), sizes) as chunks:
                assert b"".join(chunks) == b"".join(contents.values())
        assert way.sizes(tmp_path, ["a", "d", "d/empty", "none", "-n"]) == {"a": 300_000, "d/empty": 0, "-n": 4}
    assert len(engine.started) == 1


@pytest.mark.parametrize("is_made", [True, False])
def test_without_a_pipe_files_are_read_by_the_engine(
    engine: ProcessEngine, reading: ContainerFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_made: bool
) -> None:
    """The folder can have no pipe, or the engine does not mount it."""
    make = engine.make

    def refuse(path: Path) -> None:
        raise PermissionError(path)

    def refuse_mounts(name: str, config: Mapping[str, Any], host: Mapping[str, Any]) -> None:
        if any("ReadOnly" not in mount for mount in host["Mounts"]):
            raise SandboxError("bind source path does not exist")
        make(name, config, host)

    if is_made:
        monkeypatch.setattr(engine, "make", refuse_mounts)
    else:
        monkeypatch.setattr(os, "mkfifo", refuse)
    (tmp_path / "a").write_bytes(b"text")
    with reading.read(tmp_path, [b"a"], [4]) as chunks:
        assert b"".join(chunks) == b"text"
    (host,) = engine.hosts.values()
    assert len(host["Mounts"]) == len(engine.started) == 1


def test_list_longer_than_all_buffers_is_sent_while_its_files_come(reading: ContainerFiles, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1" * 1000)
    with reading.read(tmp_path, [b"a"] * 20_000, [1000] * 20_000) as chunks:
        assert sum(map(len, chunks)) == 20_000_000


def test_container_has_no_network_and_only_the_folders_that_are_read(
    engine: ProcessEngine, reading: ContainerFiles, tmp_path: Path
) -> None:
    reading.sizes(tmp_path, ["a"])
    (host,) = engine.hosts.values()
    folder, *pipes = host["Mounts"]
    assert folder == {"Type": "bind", "Source": str(tmp_path), "Target": str(tmp_path), "ReadOnly": True}
    assert [Path(pipe["Source"]).is_fifo() for pipe in pipes] == ([True] if engine.local else [])
    assert (host["NetworkMode"], host["ReadonlyRootfs"], host["AutoRemove"]) == ("none", True, True)
    assert (host["CapDrop"], host["CapAdd"]) == (["ALL"], ["DAC_READ_SEARCH"])
    assert host["LogConfig"]["Type"] == "none"


@pytest.mark.parametrize(("name", "size"), [(b"none", 3), (b"d", 3), (b"a", 299_999), (b"a", 300_001)])
def test_file_that_is_not_as_expected_is_unreadable_and_the_next_request_is_answered(
    engine: ProcessEngine,
    reading: ContainerFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: bytes,
    size: int,
) -> None:
    monkeypatch.setattr(engine_container, "SILENCE", 0.5)
    fill(tmp_path)
    with pytest.raises(Unreadable), reading.read(tmp_path, [name], [size]) as chunks:
        list(chunks)
    assert not engine.running
    assert reading.sizes(tmp_path, ["a"]) == {"a": 300_000}
    assert len(engine.started) == 2


def test_engine_without_a_node_image_is_not_read(tmp_path: Path) -> None:
    engine = ProcessEngine(images=())
    with (
        ContainerFiles(cast("Engine", engine), [tmp_path]) as reading,
        pytest.raises(Unreadable, match="no node image"),
    ):
        reading.sizes(tmp_path, ["a"])


def test_image_is_pushed_by_a_container_without_a_save(
    registry: Simulator, engine: ProcessEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # the engine's folders are another user's
    access = EngineAccess(container=partial(ContainerFiles, cast("Engine", engine)))
    daemon = ReadableEngine({"app:1": IMAGE}, folder=tmp_path / "docker")
    (result,) = push([from_engine("app:1")], registry.url, daemon, access=access)
    assert (daemon.saves, result.size) == ([], sum(map(len, (*IMAGE.layers, IMAGE.config))))
    (host,) = engine.hosts.values()
    mounted = {Path(mount["Source"]) for mount in host["Mounts"] if mount.get("ReadOnly")}
    assert {files(daemon.folder, IMAGE, number) for number in range(2)} < mounted
    assert all(mount.is_relative_to(daemon.folder) and mount != daemon.folder for mount in mounted)
    registry.forget()
    changed = ReadableEngine({"app:1": TestImage((IMAGE.layers[0], layer(5)), "app")}, folder=tmp_path / "docker")
    push([from_engine("app:1")], registry.url, changed, access=access)
    *_, host = engine.hosts.values()
    assert files(daemon.folder, IMAGE, 0) not in {Path(mount["Source"]) for mount in host["Mounts"]}


class Machine(ReadableEngine):
    """An engine with images and containers."""

    processes = ProcessEngine()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.processes, name)


@pytest.mark.parametrize("reading", [True, False])
def test_first_push_by_a_container_says_how_to_turn_it_off(
    registry: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reading: bool
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    images = {"app:1": TestImage((layer(1),), "app"), "tool:1": TestImage((layer(2),), "tool")}
    engine = Machine(images, folder=tmp_path / "docker")
    local = Local(connect=lambda: cast("Engine", engine), spool=tmp_path / "spool")
    lines: list[str] = []
    for name in images:
        file = LockFile(tmp_path / "images.yaml", (from_engine(name),), reading=reading)
        ImagePush.of(file, registry.url, None, local).run(lines.append)
    assert [line for line in lines if "container" in line] == ([READS] if reading else [])
    assert len(engine.saves) == (0 if reading else 2)
    assert "daemon: save" in READS
