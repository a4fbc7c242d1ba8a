"""Layers read from the folders of a real engine are those of its own save, byte for byte, whatever they hold."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from sandbox.app import context
from sandbox.bundle import system_images
from sandbox.bundle.store import Store
from sandbox.engine import Engine
from sandbox.images.images_yaml import FromBuild, FromDaemon
from sandbox.images.push import PushFailed, push
from sandbox.images.sources import engine_container, image_build
from sandbox.images.sources.engine_container import LABEL, ContainerFiles
from sandbox.images.sources.image_source import EngineAccess
from sandbox.oci.manifest import Compression
from sandbox.oci.reference import parse_target
from sandbox.system.wait import wait_until
from tests.real.machine import CommandLine, leave_out, tool
from tests.real.registry.stand import Watched, reader, rebuilt, registry, require_classic_store
from tests.support import harm_to_files
from tests.support.images import TestImage, digest_of, old_save, tar
from tests.support.odd_layers import SEEDS, odd, odd_image

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
NAME = f"sandbox-test-layers-{os.getpid()}"
ROOT = Path("/var/lib/docker")
PROGRAMS = ("/bin/sh", "/bin/rm", "/bin/mv", "/bin/ln", "/bin/mkdir", "/bin/mknod", "/usr/bin/mkfifo", "/bin/cp")
WORK = """
FROM {name}:0
RUN rm -rf /d0 /d1/../d2 && mkdir /d0 && echo back > /d0/new && rm -f /d1/f1
COPY a b /into/
RUN mv /d3 /moved && ln -s /moved /link && ln /into/a /hard2 && mknod /zero c 1 5 && mkfifo /pipe
RUN cp /into/b /d1/copied && rm -r /into && mkdir -p /into/into
COPY a /link/through
"""
CACHED = """
RUN --mount=type=cache,target=/cache echo once >> /cache/runs && cp /cache/runs /runs
COPY --link b /linked
"""
FAILING = """
FROM {name}:0
RUN echo about to fail && /bin/nothing --at-all
"""


@pytest.fixture
def engine() -> Iterator[Engine]:
    """The machine's engine, where its folders can be read; without our images afterwards."""
    require_classic_store()
    if not os.access(ROOT / "image" / "overlay2", os.R_OK):
        leave_out("needs root, and an engine with its folders in /var/lib/docker")
    yield Engine.connect()
    for tag in ("built", *map(str, range(SEEDS))):
        tool("docker", "image", "rm", "-f", f"{NAME}:{tag}", status=None)


def saved(engine: Engine, name: str) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(engine.save([name])))) as tar:
        files = {one.name: data.read() for one in tar if (data := one.isfile() and tar.extractfile(one))}
    content = engine.inspect_image(name) or {}
    layers = {digest_of(data): data for data in files.values()}
    return {digest: layers[digest] for digest in content["RootFS"]["Layers"]}


@pytest.fixture(params=["opened", "container"])
def way(request: pytest.FixtureRequest, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the engine's folders are read: by this process, or as for a user who may not open them."""
    if request.param == "container":
        may = os.access
        monkeypatch.setattr(os, "access", lambda path, mode: may(path, mode) and not Path(path).is_dir())
        monkeypatch.setattr(engine_container, "SILENCE", 3.0)
    return str(request.param)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("seed", range(SEEDS))
def test_layers_that_were_loaded_are_rebuilt_as_they_came(engine: Engine, tmp_path: Path, seed: int) -> None:
    image = odd_image(seed, NAME)
    path = tmp_path / "load.tar"
    path.write_bytes(old_save({f"{NAME}:{seed}": image}))
    engine.load(path)
    assert rebuilt(engine, f"{NAME}:{seed}") == {digest_of(one): one for one in image.layers}


@pytest.mark.parametrize(
    "harm", [harm_to_files.changed, *(pytest.param(harm, marks=pytest.mark.nightly) for harm in harm_to_files.ALL[1:])]
)
def test_harm_to_a_file_of_the_engine_fails_the_image(
    engine: Engine, tmp_path: Path, harm: Callable[[Path], None], way: str
) -> None:
    """A container follows a link to the right bytes; it sees nothing but the layer."""
    image = TestImage((tar({"folder/large": os.urandom(3_000_000)}),), f"{NAME} harmed")
    (tmp_path / "load.tar").write_bytes(old_save({f"{NAME}:0": image}))
    engine.load(tmp_path / "load.tar")
    content = engine.inspect_image(f"{NAME}:0") or {}
    layer = Path(content["GraphDriver"]["Data"]["UpperDir"])
    harm(layer / "folder/large")
    entry, watched = FromDaemon(parse_target("app:1"), f"{NAME}:0"), Watched(engine)
    with registry("distribution", tmp_path) as host:
        if way == "container" and harm in (harm_to_files.a_link_to_its_own_bytes, harm_to_files.below_a_link):
            push([entry], f"http://{host}", watched, access=access(engine))
            assert list(reader()(f"{host}/app:1", tmp_path).layers) == [digest_of(one) for one in image.layers]
        else:
            with pytest.raises(PushFailed) as caught:
                push([entry], f"http://{host}", watched, access=access(engine))
            assert caught.value.fix
    assert not watched.saves
    await_end(engine)


@pytest.mark.usefixtures("way")
def test_layers_that_were_built_are_rebuilt_as_they_are_saved(engine: Engine, tmp_path: Path) -> None:
    base(tmp_path / "base.tar")
    tool("docker", "import", tmp_path / "base.tar", f"{NAME}:0")
    (tmp_path / "a").write_bytes(b"a" * 100_000)
    (tmp_path / "b").write_bytes(bytes(5_000_000) + b"b")
    os.setxattr(tmp_path / "a", "user.sandbox", b"yes")
    (tmp_path / "Dockerfile").write_text(WORK.format(name=NAME))
    tool("docker", "build", "-t", f"{NAME}:built", tmp_path)
    assert (found := rebuilt(engine, f"{NAME}:built")) == saved(engine, f"{NAME}:built")
    assert len(found) == 6
    with registry("distribution", tmp_path) as host:
        (result,) = push(
            [FromDaemon(parse_target("app:1"), f"{NAME}:built")],
            f"http://{host}",
            watched := Watched(engine),
            access=access(engine),
        )
        assert list(reader()(f"{host}/app:1", tmp_path).layers) == list(found)
    assert result.size >= sum(map(len, found.values()))
    assert not watched.saves


@pytest.mark.nightly  # the bundle's buildx takes minutes to build
@pytest.mark.timeout(1500)
def test_layers_that_buildkit_made_are_rebuilt_as_they_are_saved(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_build, "has_buildkit", lambda: False)
    CommandLine({}, tmp_path)("bundle", "build", "buildx", timeout=1200)
    buildx = system_images.buildx(Store(context.home().bundle))
    base(tmp_path / "base.tar")
    tool("docker", "import", tmp_path / "base.tar", f"{NAME}:0")
    good, bad = tmp_path / "good", tmp_path / "bad"
    for folder, text in ((good, WORK + CACHED), (bad, FAILING)):
        folder.mkdir()
        (folder / "Dockerfile").write_text(fitting(text.format(name=NAME)))
    (good / "a").write_bytes(b"a" * 100_000)
    (good / "b").write_bytes(bytes(5_000_000) + b"b")
    entries = [FromBuild(parse_target(f"{NAME}:{tag}"), folder) for tag, folder in (("built", good), ("bad", bad))]
    with registry("distribution", tmp_path) as host, pytest.raises(PushFailed) as caught:
        push(entries, f"http://{host}", watched := Watched(engine), access=EngineAccess(buildx=buildx))
    assert "about to fail" in str(caught.value)
    assert [one.target for one in caught.value.results] == [f"{NAME}:built"]
    assert not watched.saves
    name = entries[0].engine_name
    assert (found := rebuilt(engine, name)) == saved(engine, name)
    assert len(found) == 8


def fitting(text: str) -> str:
    """Fit a Dockerfile to the engine's own frontend: 20.10 knows less, and a lane's engine has no network."""
    if tool("docker", "version", "--format", "{{.Server.Version}}").startswith("20."):
        return text.replace("COPY --link", "COPY")
    return text.replace("RUN ", "RUN --network=none ")


def test_layers_read_by_a_container_are_compressed_the_same(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "load.tar"
    path.write_bytes(old_save({f"{NAME}:3": odd_image(1, f"{NAME} gzip")}))
    engine.load(path)
    digests = []
    for readable in (True, False):
        monkeypatch.setattr(os, "access", lambda *_, known=readable: known)
        folder = tmp_path / str(readable)
        folder.mkdir()
        with registry("distribution", folder) as host:
            (result,) = push(
                [FromDaemon(parse_target("app:1"), f"{NAME}:3")],
                f"http://{host}",
                watched := Watched(engine),
                compression=Compression.GZIP,
                access=access(engine, tmp_path / "spool"),
            )
        digests.append(result.digest)
        assert not watched.saves
    assert len(set(digests)) == 1
    assert not list((tmp_path / "spool").iterdir())
    await_end(engine)


PUSH = """
import os, sys
from functools import partial
from sandbox.engine import Engine
from sandbox.images.images_yaml import FromDaemon
from sandbox.images.push import push
from sandbox.images.sources.engine_container import ContainerFiles
from sandbox.images.sources.image_source import EngineAccess
from sandbox.oci.reference import parse_target

os.access = lambda *_: False
engine = Engine.connect()
access = EngineAccess(container=partial(ContainerFiles, engine))
push([FromDaemon(parse_target("app:1"), sys.argv[1])], sys.argv[2], engine, access=access)
"""


@pytest.mark.nightly
def test_a_killed_push_leaves_no_container_behind(engine: Engine, tmp_path: Path) -> None:
    """The push is killed (SIGKILL) while a container reads → the container goes, and the next push succeeds."""
    data = random.Random(9).randbytes(200_000_000)  # noqa: S311
    image = TestImage((tar({"large": data}),), f"{NAME} killed")
    path = tmp_path / "load.tar"
    path.write_bytes(old_save({f"{NAME}:1": image}))
    engine.load(path)
    with registry("distribution", tmp_path) as host:
        argv = [sys.executable, "-c", PUSH, f"{NAME}:1", f"http://{host}"]
        killed = subprocess.Popen(argv)
        wait_until(lambda: None if running(engine) else "none", what="the container", timeout=60)
        killed.kill()
        killed.wait()
        await_end(engine)
        tool(*argv)
        assert list(reader()(f"{host}/app:1", tmp_path).layers)
    await_end(engine)


@pytest.mark.nightly
def test_a_failed_push_leaves_no_container_behind(engine: Engine, tmp_path: Path) -> None:
    """The registry goes away while a container reads → the push fails, and the container goes."""
    image = TestImage((tar({"large": random.Random(8).randbytes(200_000_000)}),), f"{NAME} failed")  # noqa: S311
    path = tmp_path / "load.tar"
    path.write_bytes(old_save({f"{NAME}:2": image}))
    engine.load(path)
    with registry("distribution", tmp_path) as host:
        argv = [sys.executable, "-c", PUSH, f"{NAME}:2", f"http://{host}"]
        failing = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: None if running(engine) else "none", what="the container", timeout=60)
    assert "PushFailed" in failing.communicate(timeout=200)[1]
    await_end(engine)


def access(engine: Engine, spool: Path | None = None) -> EngineAccess:
    return EngineAccess(container=partial(ContainerFiles, engine), spool=spool)


def running(engine: Engine) -> bool:
    return any(one.running for one in engine.containers(LABEL))


def await_end(engine: Engine) -> None:
    """Wait until no container that reads is left: the engine removes one that has ended, and lists it meanwhile."""
    wait_until(lambda: str(engine.containers(LABEL) or "") or None, what="the container's end", timeout=120)


def base(path: Path) -> None:
    """A system with a shell and what the Dockerfile runs, of this machine's programs, and an odd layer's folders."""
    with tarfile.open(path, "w") as tar:
        for program in PROGRAMS:
            for word in (program, *tool("ldd", program).split()):
                if word.startswith("/") and word[1:] not in tar.getnames():
                    tar.add(Path(word).resolve(), word)
        with tarfile.open(fileobj=io.BytesIO(odd(5))) as more:
            for one in more:
                tar.addfile(one, more.extractfile(one) if one.isreg() else None)
        info = tarfile.TarInfo("d3/kept")
        tar.addfile(info)
