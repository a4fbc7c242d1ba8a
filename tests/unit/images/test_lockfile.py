"""The lock: text and meaning round trip, tags that moved stay where they were, drift is named and nothing is pushed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.config import loader
from sandbox.errors import UsageError
from sandbox.images import lockfile
from sandbox.images.images_yaml import Entry, FromArchive, FromBuild, FromDaemon, FromLayout, FromRegistry
from sandbox.images.lockfile import Drift, Lock, LockFile
from sandbox.images.progress import Action, Result
from sandbox.images.push import push
from sandbox.oci import reference
from sandbox.oci.manifest import Compression
from sandbox.oci.reference import parse_target as target
from tests.support.images import FakeEngine, TestImage, digest_of, from_engine, index, layer
from tests.support.registry_simulator import Simulator

APP, OTHER = TestImage((layer(1), layer(2)), "app"), TestImage((layer(1), layer(3)), "other")
FOLDER = Path("/project")
REST = (Action.SKIPPED, 0, 0.0)

names = st.sampled_from(["app:dev", "team/tool:1.2", "base"])
paths = st.sampled_from(["a.tar", "build/b.tar", "/elsewhere/c"]).map(lambda path: FOLDER / path)
platforms = st.sampled_from([(), ("linux/amd64",), ("linux/amd64", "linux/arm64")])
entries = st.one_of(
    st.builds(FromRegistry, names.map(target), names.map(lambda n: reference.parse(n).with_default_tag()), platforms),
    st.builds(FromDaemon, names.map(target), names, platforms),
    st.builds(FromArchive, names.map(target), paths, st.none() | names, platforms),
    st.builds(FromLayout, names.map(target), paths, st.none() | names, platforms),
    st.builds(FromBuild, names.map(target), paths, platforms),
)


def of(*manifest: Entry) -> LockFile:
    return LockFile(FOLDER / "images.yaml", manifest)


lists = st.lists(entries, unique_by=lambda entry: entry.target)


@given(lists)
def test_a_lock_of_what_was_pushed_promises_just_that(manifest: list[Entry]) -> None:
    results = [
        Result(str(one.target), digest_of(b"pushed" + str(one).encode()), *REST, source=digest_of(str(one).encode()))
        for one in manifest
    ]
    made = of(*manifest).renewed(results, None, Compression.RAW)
    source = loader.read(lockfile.dump(made), origin="lock")
    read = loader.validated(source, Lock, origin="lock")
    assert (read, lockfile.changes(made, read)) == (made, ())
    promised = of(*manifest).promises(read)
    assert {t: p.digest for t, p in promised.items()} == {target(r.target): r.digest for r in results}
    assert of(*manifest).renewed(results, made, Compression.RAW) == made
    pinned = of(*manifest).pinned(made)
    for before, after in zip(manifest, pinned, strict=True):
        expected = digest_of(str(before).encode()) if isinstance(before, FromRegistry) else None
        assert (after.image.digest if isinstance(after, FromRegistry) else None) == expected
        assert after.target == before.target


def test_entries_that_differ_from_the_lock_are_drift() -> None:
    app, tool, new = (from_engine(f"{name}:1", name) for name in ("app", "tool", "new"))
    lock = of(app, tool).renewed([result("app:1"), result("tool:1")], None, Compression.RAW)
    assert of(app, tool).promises(lock).keys() == {app.target, tool.target}
    with pytest.raises(Drift) as caught:
        of(from_engine("app:1", "other"), new).promises(lock)
    assert "app:1: the lock says daemon app, the manifest says daemon other" in caught.value.details
    assert "new:1: the lock does not have it" in caught.value.details
    assert "tool:1: the lock has it, the manifest does not" in caught.value.details


def result(name: str) -> Result:
    return Result(name, digest_of(b"d"), *REST, source=digest_of(b"s"))


def test_an_image_that_failed_keeps_what_was_locked() -> None:
    manifest = [from_engine("app:1", "app"), from_engine("tool:1", "tool")]
    before = of(*manifest).renewed([result("app:1"), result("tool:1")], None, Compression.RAW)
    assert of(*manifest).renewed([result("app:1")], before, Compression.RAW) == before
    moved = [manifest[0], from_engine("tool:1", "tool:2")]
    after = of(*moved).renewed([result("app:1")], before, Compression.RAW)
    assert [one.target for one in after.images] == ["app:1"]
    assert lockfile.changes(before, after) == ("tool:1 removed",)
    assert lockfile.changes(after, before) == ("tool:1 added",)


def test_a_lock_that_is_damaged_names_file_line_and_key(tmp_path: Path) -> None:
    file = LockFile(tmp_path / "images.yaml", ())
    path = file.path
    assert path.name == "images.lock.yaml"
    assert file.read() is None
    path.write_text("apiVersion: sandbox.dev/v1\nimages:\n- {target: a, from: b, source: sha256:12, digest: x}\n")
    with pytest.raises(UsageError, match=r"images\.lock\.yaml:3: images\[0\]\.source") as caught:
        file.read()
    assert "delete it and push again" in caught.value.fix


def test_moved_tag_is_pulled_at_locked_digest_and_platform(
    registry: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.images.push.host_platform", lambda: "linux/amd64")
    with Simulator() as upstream:
        old = index(APP.on("linux/amd64"), OTHER.on("linux/arm64"))
        upstream.publish_index(old, (APP, OTHER), "org/app", "1")
        host = upstream.url.removeprefix("http://")
        manifest = [FromRegistry(target("app:1"), reference.parse(f"{host}/org/app:1"))]
        first = push(manifest, registry.url)
        made = of(*manifest).renewed(first, None, Compression.RAW)
        assert (made.images[0].source, made.images[0].digest) == (digest_of(old), digest_of(APP.manifest))
        upstream.publish_index(index(OTHER.on("linux/amd64")), (OTHER,), "org/app", "1")
        pinned = of(*manifest).pinned(made)
        with monkeypatch.context() as other:
            other.setattr("sandbox.images.push.host_platform", lambda: "linux/arm64")
            again = push(pinned, registry.url, promised=of(*manifest).promises(made))
        assert of(*manifest).renewed(again, made, Compression.RAW) == made


@pytest.mark.parametrize("containerd", [True, False])
def test_image_other_than_locked_is_refused_before_any_push(registry: Simulator, containerd: bool) -> None:
    manifest = [from_engine(f"{name}:1", name) for name in ("app", "tool")]
    images = {"app": APP, "tool": OTHER}
    first = push(manifest, registry.url, FakeEngine(images, containerd=containerd))
    made = of(*manifest).renewed(first, None, Compression.RAW)
    promised = of(*manifest).promises(made)
    results = push(manifest, registry.url, FakeEngine(images, containerd=containerd), promised=promised)
    assert [one.digest for one in results] == [one.digest for one in first]
    changed = FakeEngine({"app": APP, "tool": TestImage((layer(9),), "changed")}, containerd=containerd)
    registry.forget()
    with pytest.raises(Drift) as caught:
        push(manifest, registry.url, changed, promised=promised)
    assert caught.value.exit_code == 1
    assert "tool:1: the lock was made from sha256:" in caught.value.details
    assert "app:1" not in caught.value.details
    assert (registry.count("PUT"), registry.count("POST"), changed.saves) == (0, 0, [])
    with pytest.raises(Drift, match="not what the lock says"):
        push(manifest, registry.url, FakeEngine(images), promised=promised, compression=Compression.GZIP)
    assert (registry.count("PUT"), registry.count("POST")) == (0, 0)
