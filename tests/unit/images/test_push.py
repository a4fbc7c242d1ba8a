"""Pushes from every source, proved by reading the registry back; what is there already costs nothing."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import zstandard

from sandbox.errors import SandboxError
from sandbox.images.images_yaml import Entry, FromArchive, FromBuild, FromLayout, FromRegistry
from sandbox.images.progress import Action, Observer, Result
from sandbox.images.push import PushFailed, push
from sandbox.images.sources.image_source import EngineAccess
from sandbox.oci import reference
from sandbox.oci.manifest import Compression
from sandbox.oci.reference import parse_target, target_of
from sandbox.system import interruption
from tests.support.engine_folder import ContainerdEngine, ReadableEngine
from tests.support.images import (
    FakeEngine,
    TestImage,
    digest_of,
    from_engine,
    index,
    layer,
    new_save,
    old_save,
    tar,
    write_layout,
)
from tests.support.odd_layers import with_record
from tests.support.registry_simulator import Fault, Simulator

BASE, MIDDLE, TOP, OTHER = layer(1, 30_000), layer(2, 20_000), layer(3, 10_000), layer(4, 500)
APP = TestImage((BASE, MIDDLE, TOP), "app")
TOOL = TestImage((BASE, MIDDLE, OTHER), "tool")
UNIQUE = sum(map(len, (BASE, MIDDLE, TOP, OTHER, APP.config, TOOL.config)))


def holds(registry: Simulator, repository: str, tag: str, image: TestImage) -> bool:
    """Whether the registry gives back the very config and layers of `image` under a tag."""
    manifest = registry.manifest(repository, tag)
    blobs = [manifest["config"], *manifest["layers"]]
    assert all((repository, blob["digest"]) in registry.links for blob in blobs)
    return [registry.content[blob["digest"]] for blob in blobs] == [image.config, *image.blobs]


def layout(folder: Path) -> Entry:
    write_layout(folder / "oci", index(APP.descriptor()), APP.files)
    return FromLayout(parse_target("app:dev"), folder / "oci")


def archive(data: Callable[[dict[str, TestImage]], bytes]) -> Callable[[Path], Entry]:
    def write(folder: Path) -> Entry:
        (folder / "app.tar").write_bytes(data({"app:dev": APP}))
        return FromArchive(parse_target("app:dev"), folder / "app.tar")

    return write


SOURCES: dict[str, Callable[[Path], Entry]] = {
    "layout": layout,
    "archive-old": archive(old_save),
    "archive-new": archive(new_save),
    "archive-gzipped": archive(lambda images: gzip.compress(new_save(images), 1)),
    "archive-zstd": archive(lambda images: zstandard.compress(new_save(images))),
    "daemon": lambda _: from_engine("app:dev"),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("relative", [False, True])
def test_an_image_arrives_whole_and_the_second_push_does_nothing(
    registry: Simulator, tmp_path: Path, source: str, relative: bool
) -> None:
    registry.relative_locations = relative
    engine = FakeEngine({"app:dev": APP})
    wanted = SOURCES[source](tmp_path)
    (first,) = push([wanted], registry.url, engine)
    assert holds(registry, "app", "dev", APP)
    assert first.action is Action.UPLOADED
    assert first.size == registry.received == sum(map(len, (*APP.layers, APP.config)))
    assert registry.manifests["app", "dev"][1] == first.digest
    registry.forget()
    engine.saves.clear()
    (second,) = push([wanted], registry.url, engine)
    assert (second.action, second.size, second.digest) == (Action.SKIPPED, 0, first.digest)
    assert (registry.received, engine.saves, registry.count("PUT")) == (0, [], 0)
    assert not registry.uploads


@pytest.mark.parametrize("source", ["archive-old", "archive-new", "archive-gzipped", "archive-zstd"])
def test_image_has_one_digest_for_every_docker_source(registry: Simulator, tmp_path: Path, source: str) -> None:
    results = [
        push([wanted], registry.url, FakeEngine({"app:dev": APP}, old=old))[0].digest
        for wanted in (SOURCES[source](tmp_path), from_engine("app:other", "app:dev"))
        for old in (False, True)
    ]
    assert len(set(results)) == 1


@pytest.mark.parametrize("old", [True, False])
def test_only_missing_blobs_are_uploaded_and_none_for_a_new_tag(registry: Simulator, old: bool) -> None:
    engine = FakeEngine({"app:dev": APP, "tool:1": TOOL}, old=old)
    push([from_engine("app:dev")], registry.url, engine)
    registry.forget()
    (result,) = push([from_engine("app:tool", "tool:1")], registry.url, engine)
    assert holds(registry, "app", "tool", TOOL)
    assert result.size == len(OTHER) + len(TOOL.config)
    assert registry.count("PUT", "/blobs/") == 2
    (tag,) = push([from_engine("app:next", "app:dev")], registry.url, engine)
    assert (tag.action, tag.size) == (Action.MOUNTED, 0)
    assert holds(registry, "app", "next", APP)


@pytest.mark.fault(24)
def test_a_lost_blob_is_healed_by_the_next_push(registry: Simulator) -> None:
    """A blob is lost in the registry → the next push sends that blob."""
    engine = FakeEngine({"app:dev": APP})
    push([from_engine("app:dev")], registry.url, engine)
    registry.links.remove(("app", digest_of(MIDDLE)))
    registry.forget()
    (result,) = push([from_engine("app:dev")], registry.url, engine)
    assert (result.action, registry.received) == (Action.UPLOADED, len(MIDDLE))
    assert holds(registry, "app", "dev", APP)


@pytest.mark.parametrize(
    ("compressed", "compression"), [(True, Compression.GZIP), (True, Compression.RAW), (False, Compression.RAW)]
)
def test_an_engine_with_the_containerd_store_gives_its_own_bytes(
    registry: Simulator, compressed: bool, compression: Compression
) -> None:
    app, tool = (TestImage(one.layers, one.label, compressed) for one in (APP, TOOL))
    engine = FakeEngine({"app:dev": app, "tool:1": tool}, containerd=True)
    entries = [from_engine("app:dev"), from_engine("tool:1")]
    results = push(entries, registry.url, engine, compression=compression)
    assert [result.digest for result in results] == [digest_of(app.manifest), digest_of(tool.manifest)]
    assert holds(registry, "app", "dev", app)
    assert holds(registry, "tool", "1", tool)
    blobs = {*app.blobs, *tool.blobs, app.config, tool.config}
    assert registry.received == sum(map(len, blobs))
    engine.saves.clear()
    assert {result.action for result in push(entries, registry.url, engine)} == {Action.SKIPPED}
    assert engine.saves == []


class Modern(FakeEngine):
    """An engine with the containerd store, which says that its ids are those of documents."""

    def inspect_image(self, name: str) -> Mapping[str, Any] | None:
        content = super().inspect_image(name)
        return content and {**content, "Descriptor": {"digest": content["Id"]}}


def test_compressed_layers_are_searched_where_last_pushed(registry: Simulator) -> None:
    def images(own: bytes) -> dict[str, TestImage]:
        return {
            "app:1": TestImage((BASE, own), "app", compressed=True),
            "tool:1": TestImage((BASE, OTHER, own), "tool", compressed=True),
        }

    entries = [from_engine("app:1"), from_engine("tool:1")]
    push(entries, registry.url, Modern(images(TOP), containerd=True))
    registry.forget()
    after = images(MIDDLE)
    push(entries, registry.url, Modern(after, containerd=True))
    assert registry.received == len(after["app:1"].blobs[-1]) + sum(len(image.config) for image in after.values())


@pytest.mark.parametrize("containerd", [True, False])
@pytest.mark.parametrize("lost", ["layer", "config"])
def test_an_incomplete_save_fails_loudly(registry: Simulator, containerd: bool, lost: str) -> None:
    missing = digest_of(MIDDLE if lost == "layer" else APP.config)
    engine = FakeEngine({"app:dev": APP, "fine": TestImage((OTHER,))}, containerd=containerd, without=[missing])
    with pytest.raises(PushFailed) as caught:
        push([from_engine("app:dev"), from_engine("fine:1", "fine")], registry.url, engine)
    assert missing.partition(":")[2] in caught.value.details
    assert "docker image rm app:dev" in caught.value.fix
    assert [result.target for result in caught.value.results] == ["fine:1"]
    assert ("app", "dev") not in registry.manifests


class Unable(FakeEngine):
    """An engine that gives nothing of a save with the image `bad` in it."""

    def save(self, names: Sequence[str]) -> Iterator[bytes]:
        if "bad" in names:
            self.saves.append(tuple(names))
            raise SandboxError("saving images failed", details="invalid checksum digest format")
        return super().save(names)


@pytest.mark.fault(39)
@pytest.mark.parametrize("compression", [Compression.RAW, Compression.GZIP])
def test_image_that_cannot_be_saved_fails_alone(registry: Simulator, compression: Compression) -> None:
    """The engine refuses a save of several images for one of them → only that one is not pushed."""
    images = {str(number): TestImage((layer(number),), str(number)) for number in range(6)}
    engine = Unable({**images, "bad": TestImage((OTHER,))})
    entries = [from_engine("bad:1", "bad"), *(from_engine(f"image:{name}", name) for name in images)]
    with pytest.raises(PushFailed) as caught:
        push(entries, registry.url, engine, compression=compression)
    assert {str(target): one.details for target, one in caught.value.failures.items()} == {
        "bad:1": "invalid checksum digest format"
    }
    assert len(caught.value.results) == len(images)
    assert len(engine.saves) == 1 + 7  # of all, then of each


@pytest.mark.fault(17, 34)
def test_registry_that_never_recovers_is_named_with_its_answer(registry: Simulator) -> None:
    """The registry answers 507 to every upload → the image fails at once with that answer; no tag is made."""
    registry.faults = [Fault("PUT", "/blobs/uploads/", 507, times=999)]
    engine = FakeEngine({"app:dev": TestImage((BASE,))})
    with pytest.raises(PushFailed) as caught:
        push([from_engine("app:dev")], registry.url, engine)
    assert "disk is full" in caught.value.details and "507" in caught.value.details
    assert registry.count("PUT", "/blobs/uploads/") == 2  # the layer and the configuration
    assert (registry.manifests, registry.uploads) == ({}, set())


@pytest.mark.parametrize(
    ("method", "path", "failing"),
    [
        ("POST", "/app/", 1),
        ("HEAD", "/app/blobs/", 1),
        ("PUT", "/app/manifests/", 1),
        ("PUT", f"/app/blobs/uploads/.*{digest_of(BASE)[7:]}", 1),
        ("POST", "/", 2),
    ],
)
def test_refused_images_fail_alone_after_one_save(registry: Simulator, method: str, path: str, failing: int) -> None:
    engine = FakeEngine({"app:dev": APP, "tool:dev": TOOL})
    registry.faults.append(Fault(method, f"/v2{path}", 403, times=1000))
    with pytest.raises(PushFailed) as caught:
        push([from_engine("app:dev"), from_engine("tool:dev")], registry.url, engine)
    assert [str(target) for target in caught.value.failures] == ["app:dev", "tool:dev"][:failing]
    assert "HTTP status 403" in caught.value.details
    assert len(engine.saves) == 1
    assert ("app", "dev") not in registry.manifests
    assert failing == 2 or holds(registry, "tool", "dev", TOOL)


def test_mounts_that_are_refused_become_copies(registry: Simulator) -> None:
    registry.refuse_mounts = True
    engine = FakeEngine({"app:dev": APP})
    push([from_engine("app:dev"), from_engine("copy:1", "app:dev")], registry.url, engine)
    assert holds(registry, "copy", "1", APP)
    assert not registry.uploads


def test_upstream_images_are_copied_by_platform_or_whole_digest(
    registry: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.images.push.host_platform", lambda: "linux/amd64")
    arm, amd = TestImage((BASE,), "arm"), TestImage((BASE, TOP), "amd")
    top = index(arm.on("linux/arm64"), amd.on("linux/amd64"))
    with Simulator(token="t") as upstream:
        upstream.publish_index(top, (arm, amd), "org/app", "1")
        host = upstream.url.removeprefix("http://")
        by_tag = reference.parse(f"{host}/org/app:1")
        by_digest = reference.parse(f"{host}/org/app@{digest_of(top)}")
        entries = [FromRegistry(parse_target("app:1"), by_tag), FromRegistry(parse_target("app:all"), by_digest)]
        one, whole = push(entries, registry.url)
        assert (one.digest, whole.digest) == (digest_of(amd.manifest), digest_of(top))
        assert holds(registry, "app", "1", amd)
        assert registry.content[registry.manifests["app", "all"][1]] == top
        assert registry.received == sum(map(len, (BASE, TOP, arm.config, amd.config)))
        without_platforms = index(arm.descriptor(), amd.descriptor())
        upstream.publish_index(without_platforms, (arm, amd), "org/app", "1")
        (result,) = push(entries[:1], registry.url)
        assert result.digest == digest_of(without_platforms)
        upstream.publish_index(top, (arm, amd), "org/app", "1")
        monkeypatch.setattr("sandbox.images.push.host_platform", lambda: "linux/s390x")
        with pytest.raises(PushFailed, match="not exist for linux/s390x"):
            push(entries[:1], registry.url)
        reduced = FromRegistry(target_of(by_digest), by_digest, ("linux/amd64",))
        with pytest.raises(PushFailed, match="would be another image here") as caught:
            push([reduced], registry.url)
        assert digest_of(amd.manifest) in caught.value.details and "`as: name:tag`" in caught.value.fix
        with pytest.raises(PushFailed):
            push([reduced], registry.url, dry=True)


@pytest.mark.fault(34, 39)
def test_bad_image_is_explained_and_the_others_are_pushed(registry: Simulator, tmp_path: Path) -> None:
    """One image of several cannot be pushed → the others are; the summary explains the one; exit code 1."""
    good = layout(tmp_path)
    write_layout(tmp_path / "bad", index(TOOL.descriptor()), TOOL.files)
    (tmp_path / "bad" / "blobs" / digest_of(OTHER).replace(":", "/")).write_bytes(b"x" * len(OTHER))
    entries: list[Entry] = [
        FromLayout(parse_target("bad:1"), tmp_path / "bad"),
        FromArchive(parse_target("absent:1"), tmp_path / "absent.tar"),
        from_engine("unknown:1"),
        good,
    ]
    told: list[str] = []

    class Watch(Observer):
        def finished(self, result: Result) -> None:
            told.append(result.target)

        def failed(self, target: str, error: SandboxError) -> None:
            told.append(f"not {target}")

    with pytest.raises(PushFailed) as caught:
        push(entries, registry.url, FakeEngine({}), Watch())
    assert [str(target) for target in caught.value.failures] == ["bad:1", "absent:1", "unknown:1"]
    assert "damaged" in caught.value.details
    assert "the Docker Engine has no image unknown:1" in caught.value.details
    assert [result.target for result in caught.value.results] == ["app:dev"]
    assert sorted(told) == ["app:dev", "not absent:1", "not bad:1", "not unknown:1"]
    assert ("bad", "1") not in registry.manifests


def test_an_unchanged_push_asks_for_each_tag_and_each_blob_once(registry: Simulator) -> None:
    engine = FakeEngine({"app:dev": APP, "tool:1": TOOL})
    entries = [from_engine("app:dev"), from_engine("team/tool:1", "tool:1"), from_engine("copy:latest", "app:dev")]
    push(entries, registry.url, engine)
    looked_up = [one.path for one in registry.requests if one.method == "HEAD" and "/blobs/" in one.path]
    assert sorted(looked_up) == sorted(set(looked_up))
    registry.forget()
    push(entries, registry.url, engine)
    assert (registry.count("GET", "/manifests/"), registry.count("HEAD", "/blobs/")) == (3, 6)
    assert len(registry.requests) == 1 + 3 + 6
    registry.forget()
    registry.links.remove(("copy", digest_of(BASE)))
    *_, healed = push(entries, registry.url, engine, thorough=True)
    assert registry.count("HEAD", "/blobs/") >= 12
    assert (healed.action, registry.received) == (Action.MOUNTED, 0)
    assert holds(registry, "copy", "latest", APP)


def test_tag_that_names_another_image_after_the_push_is_told(registry: Simulator, tmp_path: Path) -> None:
    other = {"Docker-Content-Digest": digest_of(b"another")}
    registry.faults = [Fault("HEAD", "/manifests/dev", 200, times=2, headers=other)]  # before and after
    with pytest.raises(PushFailed) as caught:
        push([layout(tmp_path)], registry.url)
    assert "app:dev does not name what was pushed" in caught.value.details


BROKEN = {
    "empty": b"",
    "noise": bytes(range(256)) * 40,
    "no image": tar({"readme": b"hello"}),
    "cut short": old_save({"app:dev": APP})[:40_000],
    "manifest is no JSON": tar({"manifest.json": b"{"}),
    "tags are numbers": tar({"manifest.json": b'[{"Config": "c", "Layers": [], "RepoTags": [1]}]'}),
    "index is a list": tar({"index.json": b"[1]"}),
    "manifest is absent": tar({"index.json": index(APP.descriptor())}),
    "config is absent": tar({"manifest.json": b'[{"Config": "x.json", "Layers": []}]'}),
    "config is no JSON": tar({"manifest.json": b'[{"Config": "x.json", "Layers": []}]', "x.json": b"?"}),
    "layers are too few": tar({"manifest.json": b'[{"Config": "x.json", "Layers": []}]', "x.json": APP.config}),
    "header has no number": with_record("25 GNU.sparse.size=abc\n"),
    "header has a wrong length": with_record("99999999999999999999 a=b\n"),
    "layer is absent": new_save({"app:dev": APP}, without=[digest_of(TOP)]),
    "gzip is cut short": gzip.compress(new_save({"app:dev": APP}), 1)[:-20],
    "zstd is cut short": zstandard.compress(new_save({"app:dev": APP}))[:-20],
}


@pytest.mark.fault(46, 47)
@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_archive_is_an_error_for_people(registry: Simulator, tmp_path: Path, kind: str) -> None:
    """Archives that are cut, empty, or lack files → the image fails with the reason; nothing is sent."""
    path = tmp_path / "broken.tar"
    path.write_bytes(BROKEN[kind])
    with pytest.raises(PushFailed) as caught:
        push([FromArchive(parse_target("x:1"), path)], registry.url)
    assert caught.value.details
    assert registry.received == 0


def test_push_with_fail_fast_ends_at_the_first_failure(
    registry: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.images.push.LIMIT", 1)
    entries: list[Entry] = [from_engine("unknown:1"), layout(tmp_path)]
    with pytest.raises(PushFailed) as caught:
        push(entries, registry.url, FakeEngine({}), fail_fast=True)
    assert [str(target) for target in caught.value.untried] == ["app:dev"]
    assert "app:dev: not tried any more" in caught.value.details
    assert registry.received == 0
    registry.faults = [Fault("PUT", "/v2/closed/blobs/uploads/", 403, times=99)]
    write_layout(tmp_path / "other", index(TOOL.descriptor()), TOOL.files)
    entries = [FromLayout(parse_target("closed:1"), tmp_path / "other"), layout(tmp_path)]
    with pytest.raises(PushFailed) as caught:
        push(entries, registry.url, fail_fast=True)
    assert [str(target) for target in caught.value.failures] == ["closed:1"]
    assert [str(target) for target in caught.value.untried] == ["app:dev"]
    assert ("app", "dev") not in registry.manifests


@pytest.mark.fault(5)
@pytest.mark.parametrize("source", ["layout", "daemon"])
def test_interrupted_push_leaves_no_partial_image_and_resumes(registry: Simulator, tmp_path: Path, source: str) -> None:
    """An interrupt in the middle of a push → nothing half done; the next push goes on."""

    class Stopping(Observer):
        def sent(self, size: int) -> None:
            interruption.request()

    wanted = SOURCES[source](tmp_path)
    try:
        with pytest.raises(interruption.Interrupted):
            push([wanted], registry.url, FakeEngine({"app:dev": APP}), Stopping())
    finally:
        interruption.clear()
    assert registry.manifests == {}
    assert all(digest_of(registry.content[digest]) == digest for _, digest in registry.links)
    push([wanted], registry.url, FakeEngine({"app:dev": APP}))
    assert holds(registry, "app", "dev", APP)


def test_the_observer_can_know_how_far_a_push_is(registry: Simulator, tmp_path: Path) -> None:
    heard = Counter[str]()

    class Watch(Observer):
        def planned(self, images: int, blobs: int, size: int) -> None:
            heard["planned"] += size

        def sent(self, size: int) -> None:
            heard["sent"] += size

        def spared(self, size: int) -> None:
            heard["spared"] += size

    write_layout(tmp_path / "tool", index(TOOL.descriptor()), TOOL.files)
    push([FromLayout(parse_target("app:old"), tmp_path / "tool")], registry.url)
    push([layout(tmp_path), FromLayout(parse_target("again:1"), tmp_path / "oci")], registry.url, None, Watch())
    assert heard["planned"] == heard["sent"] + heard["spared"]
    assert heard["sent"] == len(TOP) + len(APP.config)


def planned(results: Sequence[Result]) -> list[tuple[str, Action, int, int, str]]:
    return [(one.target, one.action, one.blobs, one.size, one.digest) for one in results]


def untouched(registry: Simulator) -> bool:
    return {request.method for request in registry.requests} <= {"GET", "HEAD"}


def test_dry_run_predicts_the_push(registry: Simulator, tmp_path: Path) -> None:
    for name, image in (("app", APP), ("tool", TOOL)):
        write_layout(tmp_path / name, index(image.descriptor()), image.files)
    sources = {"app:1": "app", "tool:1": "tool", "copy:1": "app", "absent:1": "absent"}
    entries = [FromLayout(parse_target(name), tmp_path / folder) for name, folder in sources.items()]
    with pytest.raises(PushFailed) as caught:
        push(entries, registry.url, dry=True)
    before = planned(caught.value.results)
    assert [one[:4] for one in before] == [
        ("app:1", Action.UPLOADED, 4, sum(map(len, (*APP.layers, APP.config)))),
        ("tool:1", Action.UPLOADED, 2, len(OTHER) + len(TOOL.config)),
        ("copy:1", Action.MOUNTED, 0, 0),
    ]
    assert [str(target) for target in caught.value.failures] == ["absent:1"]
    assert untouched(registry)
    assert planned(push(entries[:3], registry.url)) == before
    assert registry.received == UNIQUE
    registry.forget()
    assert {one.action for one in push(entries[:3], registry.url, dry=True)} == {Action.SKIPPED}
    assert untouched(registry)


@pytest.mark.parametrize("compression", Compression)
def test_dry_run_neither_saves_nor_builds(registry: Simulator, tmp_path: Path, compression: Compression) -> None:
    engine = FakeEngine({"app:1": APP, "tool:1": TOOL})
    entries = [from_engine("app:1"), from_engine("tool:1"), from_engine("absent:1")]
    built = FromBuild(parse_target("built:1"), tmp_path)
    with pytest.raises(PushFailed) as caught:
        push([*entries, built], registry.url, engine, compression=compression, dry=True)
    assert not caught.value.results
    assert [str(target) for target in caught.value.failures] == ["absent:1"]
    assert (engine.saves, engine.built, untouched(registry)) == ([], [], True)
    push(entries[:2], registry.url, engine, compression=compression)
    engine.saves.clear()
    again = push(entries[:2], registry.url, engine, compression=compression, dry=True)
    assert [one.action for one in again] == [Action.SKIPPED, Action.SKIPPED]
    assert engine.saves == []


@pytest.mark.parametrize("kind", [ReadableEngine, ContainerdEngine])
def test_dry_run_sizes_are_exact_where_folders_can_be_read(
    registry: Simulator, tmp_path: Path, kind: type[ReadableEngine | ContainerdEngine]
) -> None:
    engine = kind({"app:1": APP, "tool:1": TOOL}, containerd=kind is ContainerdEngine, folder=tmp_path)
    entries = [from_engine("app:1"), from_engine("tool:1")]
    before = planned(push(entries, registry.url, engine, dry=True))
    assert len(before) == 2 and untouched(registry)
    assert planned(push(entries, registry.url, engine)) == before
    assert engine.saves == []
    with Simulator() as other:
        saved = push(entries, other.url, engine, access=EngineAccess(reading=False))
    assert (planned(saved), len(engine.saves)) == (before, 1)
