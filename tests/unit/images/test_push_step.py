"""The images of a manifest in a registry in memory, read back from there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from sandbox.engine import Engine
from sandbox.errors import SandboxError
from sandbox.images import lockfile, push_step
from sandbox.images.images_yaml import Entry, FromBuild, FromRegistry
from sandbox.images.lockfile import LockFile
from sandbox.images.push_step import PushStep
from sandbox.oci import reference
from sandbox.oci.manifest import Compression
from sandbox.oci.reference import parse_target
from sandbox.step import State, Status
from tests.support.fakes import NoWork, applied
from tests.support.images import FakeEngine, TestImage, digest_of, from_engine, layer
from tests.support.registry_simulator import Fault, Simulator

APP = TestImage((layer(1), layer(2)), label="app")
NEWER = TestImage((layer(1), layer(3)), label="newer")


ENTRY = from_engine("app:dev")


def step_of(
    registry: Simulator, engine: FakeEngine, *entries: Entry, manifest: Path = Path("nowhere/images.yaml")
) -> PushStep:
    return PushStep(cast("Engine", engine), LockFile(manifest, entries), registry.url)


def config(registry: Simulator, repository: str, tag: str) -> bytes:
    return registry.content[registry.manifest(repository, tag)["config"]["digest"]]


def test_missing_image_is_pushed_and_stays(registry: Simulator) -> None:
    engine = FakeEngine({"app:dev": APP, "web:dev": NEWER})
    step = step_of(registry, engine, *(from_engine(name) for name in engine.images))
    assert (step.check().state, step.check().detail) == (State.ABSENT, "missing: app:dev, web:dev")
    assert applied(step).state is State.READY
    assert (config(registry, "app", "dev"), config(registry, "web", "dev")) == (APP.config, NEWER.config)
    assert not step.undo()
    engine.images = {}
    assert step.check().state is State.READY


class Wrapping(FakeEngine):
    """An engine over containerd that names an image by the index around it, which a push does not send."""

    def inspect_image(self, name: str) -> Mapping[str, Any] | None:
        content = super().inspect_image(name)
        return content and {**content, "Id": digest_of(name.encode()), "Descriptor": {"digest": content["Id"]}}


def test_ids_of_containerds_store_cause_no_second_push(registry: Simulator) -> None:
    step = step_of(registry, FakeEngine({"app:dev": APP}, containerd=True), ENTRY)
    assert applied(step).state is State.READY
    assert step_of(registry, Wrapping({"app:dev": APP}), ENTRY).check().state is State.READY


def test_an_image_that_is_another_by_now_is_pushed_again(registry: Simulator) -> None:
    engine = FakeEngine({"app:dev": APP})
    step = step_of(registry, engine, ENTRY)
    step.apply(NoWork())
    engine.images = {"app:dev": NEWER}
    assert step.check() == Status(State.DRIFTED, "app:dev: the engine has another image by now")
    assert applied(step).state is State.READY
    assert config(registry, "app", "dev") == NEWER.config


def test_missing_registry_makes_images_absent_and_push_fail(registry: Simulator) -> None:
    step = step_of(registry, FakeEngine({"app:dev": APP}), ENTRY)
    registry.faults.append(Fault("GET", "/v2/", 400, times=2))
    assert step.check().state is State.ABSENT
    with pytest.raises(SandboxError):
        step.apply(NoWork())
    assert applied(step).state is State.READY


def pushed(registry: Simulator, image: TestImage, name: str = "team/app:1") -> FromRegistry:
    """The entry for an image of another registry, into which it is pushed now."""
    step_of(registry, FakeEngine({name: image}), from_engine(name)).apply(NoWork())
    return FromRegistry(parse_target("app:dev"), reference.parse(f"{registry.url.removeprefix('http://')}/{name}"))


def lock_at(folder: Path, entry: Entry, digest: str, source: str, compression: Compression = Compression.RAW) -> Path:
    """A manifest's place, with a lock next to it that says so of one entry."""
    locked = {
        "target": str(entry.target),
        "from": LockFile(folder / "images.yaml", ()).describe(entry),
        "source": source,
        "digest": digest,
    }
    content = lockfile.lock_of([lockfile.Locked.model_validate(locked)], compression)
    (folder / "images.lock.yaml").write_text(lockfile.dump(content))
    return folder / "images.yaml"


def test_digest_other_than_the_locks_is_drift_and_restored(registry: Simulator, tmp_path: Path) -> None:
    with Simulator() as upstream:
        entry = pushed(upstream, APP)
        locked = upstream.manifests["team/app", "1"][1]
        step = step_of(registry, FakeEngine({}), entry, manifest=lock_at(tmp_path, entry, locked, locked))
        assert applied(step).state is State.READY
        step_of(registry, FakeEngine({"app:dev": NEWER}), ENTRY).apply(NoWork())
        found = registry.manifests["app", "dev"][1]
        assert step.check() == Status(State.DRIFTED, f"app:dev is {found}, the lock says {locked}")
        assert applied(step).state is State.READY
        assert registry.manifests["app", "dev"][1] == locked


@pytest.mark.parametrize("kind", [Compression.RAW, Compression.GZIP])
def test_a_lock_follows_the_developers_own_images(registry: Simulator, tmp_path: Path, kind: Compression) -> None:
    engine = FakeEngine({"app:dev": APP})
    stale = digest_of(b"an older one")
    step = step_of(registry, engine, ENTRY, manifest=lock_at(tmp_path, ENTRY, stale, stale, kind))
    assert applied(step).state is State.READY
    text = (tmp_path / "images.lock.yaml").read_text()
    assert registry.manifests["app", "dev"][1] in text
    suffix = "+gzip" if kind is Compression.GZIP else ".tar"
    assert registry.manifest("app", "dev")["layers"][0]["mediaType"].endswith(suffix)
    step.apply(NoWork())
    assert (tmp_path / "images.lock.yaml").read_text() == text
    lock_at(tmp_path, ENTRY, stale, stale, kind)
    assert step.check().state is State.DRIFTED


class Stamping(FakeEngine):
    """An engine that says when it last gave an image its name."""

    tagged = datetime.now(UTC) + timedelta(hours=1)

    def inspect_image(self, name: str) -> Mapping[str, Any] | None:
        found = super().inspect_image(name)
        said = self.tagged.isoformat(timespec="microseconds").replace("+00:00", "123Z")
        return found and {**found, "Metadata": {"LastTagTime": said}}

    def build(self, context: Path, tag: str) -> None:
        self.images = {tag: NEWER}


def test_changed_file_rebuilds_the_image(registry: Simulator, tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("# notes\n\nnotes.txt\n")
    (tmp_path / "main.go").write_text("x")
    entry = FromBuild(parse_target("app:dev"), tmp_path)
    engine = Stamping({"app:dev": APP, entry.engine_name: APP})
    step_of(registry, engine, ENTRY).apply(NoWork())
    assert step_of(registry, engine, entry).check().state is State.READY
    engine.tagged = datetime.now(UTC) - timedelta(hours=1)
    step = step_of(registry, engine, entry)
    assert step.check().state is State.DRIFTED
    assert "app:dev: " in step.check().detail and "has changed since it was built" in step.check().detail
    step.apply(NoWork())
    assert config(registry, "app", "dev") == NEWER.config
    assert step.check().state is State.READY  # whatever the engine's clock says


def test_files_that_a_build_does_not_see_make_nothing_newer(tmp_path: Path) -> None:
    for name in (".dockerignore", "notes.txt", ".git/index", "src/main.go"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("notes.txt\n")
    newest = max(path.stat().st_ctime for path in tmp_path.rglob("*") if path.is_relative_to(tmp_path / "src"))
    while (tmp_path / ".git/index").stat().st_ctime <= newest:
        (tmp_path / ".git/index").write_text("later")
    found = push_step.newer_file(tmp_path, 0.0)
    assert found is not None and not found.startswith(".git/")
    assert push_step.newer_file(tmp_path, newest) is None
    assert push_step.newer_file(tmp_path / "absent", 0.0) is None
    (tmp_path / "images.lock.yaml").write_text("x")
    assert push_step.newer_file(tmp_path, newest) == "images.lock.yaml"
    assert push_step.newer_file(tmp_path, newest, [tmp_path / "images.lock.yaml"]) is None
