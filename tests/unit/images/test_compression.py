"""Compression streams and repeats itself exactly; compressed pushes keep what they need not send."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.images.images_yaml import Entry, FromLayout
from sandbox.images.progress import Action
from sandbox.images.push import PushFailed, push
from sandbox.images.sources.docker_engine import gzipped
from sandbox.images.sources.image_source import EngineAccess
from sandbox.oci.manifest import OCI_LAYER_GZIP, Compression
from sandbox.oci.reference import parse_target
from tests.support.engine_folder import ReadableEngine
from tests.support.images import FakeEngine, TestImage, from_engine, index, layer, write_layout
from tests.support.registry_simulator import Simulator

BASE, TOP, OTHER = layer(1, 30_000), layer(2, 20_000), layer(3, 700)
APP, NEXT, TOOL = TestImage((BASE, TOP), "app"), TestImage((BASE, OTHER), "next"), TestImage((BASE,), "tool")
GZIP = Compression.GZIP


@given(st.lists(st.binary(max_size=2000), max_size=8))
def test_compression_is_reversible_and_deterministic(chunks: list[bytes]) -> None:
    packed = b"".join(gzipped(chunks))
    assert gzip.decompress(packed) == b"".join(chunks)
    assert b"".join(gzipped(chunks)) == packed


def layers(registry: Simulator, repository: str, tag: str) -> list[bytes]:
    """The layers behind a tag, decompressed."""
    found = registry.manifest(repository, tag)["layers"]
    assert {one["mediaType"] for one in found} == {OCI_LAYER_GZIP}
    assert all((repository, one["digest"]) in registry.links for one in found)
    return [gzip.decompress(registry.content[one["digest"]]) for one in found]


@pytest.mark.parametrize("old", [True, False])
def test_compressed_layers_are_sent_once_and_then_only_changed_ones(registry: Simulator, old: bool) -> None:
    engine = FakeEngine({"app": APP, "tool": TOOL}, old=old)
    entries = [from_engine("app:1", "app"), from_engine("team/tool:1", "tool")]
    first = push(entries, registry.url, engine, compression=GZIP)
    assert layers(registry, "app", "1") == [BASE, TOP]
    assert layers(registry, "team/tool", "1") == [BASE]
    assert registry.received == sum(one.size for one in first) == sum(one.unique for one in first)
    assert len(engine.saves) == 1
    registry.forget()
    engine.saves.clear()
    second = push(entries, registry.url, engine, compression=GZIP)
    assert [one.action for one in second] == [Action.SKIPPED, Action.SKIPPED]
    assert [one.digest for one in second] == [one.digest for one in first]
    assert (engine.saves, registry.received) == ([], 0)
    engine.images = {"app": NEXT}
    (changed,) = push(entries[:1], registry.url, engine, compression=GZIP)
    assert layers(registry, "app", "1") == [BASE, OTHER]
    assert changed.size == registry.received == len(b"".join(gzipped([OTHER]))) + len(NEXT.config)


@pytest.mark.fault(16)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_layers_that_a_full_disk_cannot_take_fail_alone(
    registry: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room for a compressed layer → its image fails and the folder is named; images that need none are pushed."""
    write_layout(tmp_path, index(TOOL.descriptor()), TOOL.files)
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir: Path("/dev/full").open("r+b"))  # noqa: SIM115
    entries: list[Entry] = [from_engine("app:1", "app"), FromLayout(parse_target("tool:1"), tmp_path)]
    with pytest.raises(PushFailed) as caught:
        engine = ReadableEngine({"app": APP}, folder=tmp_path / "docker")
        push(entries, registry.url, engine, compression=GZIP)
    assert [str(target) for target in caught.value.failures] == ["app:1"]
    assert [one.target for one in caught.value.results] == ["tool:1"]
    assert f"compressed in {tempfile.gettempdir()}" in caught.value.details and "free space" in caught.value.fix


def test_layers_are_read_compressed_and_not_saved(
    registry: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))  # the system's, which may be memory
    spool = tmp_path / "spool"
    images = {"app": APP, "tool": TOOL}
    engine = ReadableEngine(images, folder=tmp_path / "docker")
    entries = [from_engine("app:1", "app"), from_engine("team/tool:1", "tool")]
    first = push(entries, registry.url, engine, compression=GZIP, access=EngineAccess(spool=spool))
    assert layers(registry, "app", "1") == [BASE, TOP]
    assert layers(registry, "team/tool", "1") == [BASE]
    assert registry.received == sum(one.size for one in first)
    with Simulator() as other:
        saved = push(entries, other.url, engine, compression=GZIP, access=EngineAccess(spool=spool, reading=False))
    assert [one.digest for one in saved] == [one.digest for one in first]
    assert engine.saves == [("app", "tool")]
    assert not list(spool.iterdir())
