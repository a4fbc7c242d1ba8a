"""`sandbox push-images` from its options to its files, its two outputs and its exit codes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import pytest
from click.testing import CliRunner, Result

from sandbox.app import context, machine_plan
from sandbox.app.core import Sandbox
from sandbox.app.running import registry_upkeep
from sandbox.app.session import Session
from sandbox.cli import output
from sandbox.cli.push_images import push_images as command
from sandbox.config.loader import load
from sandbox.engine import Bind, ContainerSpec, Engine
from sandbox.errors import MissingTool, SandboxError, UsageError
from sandbox.images.image_push import ImagePush
from sandbox.images.lockfile import Drift, Lock
from sandbox.images.push import PushFailed
from sandbox.names import OWNER, REGISTRY_PORT
from sandbox.oci.client import Client
from tests.support import in_process
from tests.support.fakes import FakeEngine
from tests.support.images import TestImage, digest_of, index, layer, write_layout
from tests.support.registry_simulator import Simulator
from tests.unit.images.test_registry_content import place

APP, TOOL = TestImage((layer(1), layer(2)), "app"), TestImage((layer(1),), "tool")
WRITTEN = "written; it belongs in git"
LINES = ("- {from: layout, path: app, as: 'app:1'}", "- {from: layout, path: tool, as: 'team/tool:1'}")


@pytest.fixture
def folder(tmp_path: Path, quiet: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two images and the manifest of them; the process keeps its signals and has no log."""
    monkeypatch.setattr("sandbox.images.push.host_platform", lambda: "linux/amd64")
    write_layout(tmp_path / "app", index(APP.descriptor()), APP.files)
    write_layout(tmp_path / "tool", index(TOOL.descriptor()), TOOL.files)
    write(tmp_path, *LINES)
    return tmp_path


def write(folder: Path, *lines: str) -> None:
    (folder / "images.yaml").write_text("\n".join(("images:", *lines)) + "\n")


def run(folder: Path, registry: Simulator, *options: str, typed: str | None = None) -> Result:
    return in_process.run(command, folder / "images.yaml", "--registry", registry.url, *options, typed=typed)


def failing(folder: Path, registry: Simulator, *options: str) -> tuple[SandboxError, Any]:
    """Run `push-images -o json`, which must fail; return the error, and the report on standard output."""
    arguments = [str(folder / "images.yaml"), "--registry", registry.url, "-o", "json", *options]
    result = CliRunner().invoke(command, arguments, obj=False, standalone_mode=False)
    assert isinstance(result.exception, SandboxError)
    return result.exception, json.loads(result.stdout)


def no_engine() -> None:
    raise MissingTool("no Docker Engine")


def lock_of(folder: Path) -> Lock:
    return load(folder / "images.lock.yaml", Lock)


def test_images_are_pushed_locked_and_reported(folder: Path, registry: Simulator) -> None:
    digests = {"app:1": digest_of(APP.manifest), "team/tool:1": digest_of(TOOL.manifest)}
    result = run(folder, registry, "-o", "json", "--verify")
    report = json.loads(result.stdout)
    assert {one["image"]: one["digest"] for one in report["images"]} == digests
    assert {one["action"] for one in report["images"]} == {"uploaded"}
    unique = sum(map(len, {*APP.layers, *TOOL.layers, APP.config, TOOL.config}))
    assert (report["bytes"], report["unique_bytes"], report["ratio"]) == (unique, unique, 1.0)
    assert report["verified_bytes"] == unique
    assert "images.lock.yaml: written; it belongs in git" in result.stderr
    assert {one.target: one.digest for one in lock_of(folder).images} == digests
    text = (folder / "images.lock.yaml").read_text()
    again = run(folder, registry)
    assert again.stdout.splitlines() == [f"{image}@{digest}" for image, digest in digests.items()]
    assert "lock" not in again.stderr
    assert (folder / "images.lock.yaml").read_text() == text
    assert json.loads(run(folder, registry, "-o", "json").stdout)["ratio"] is None


def test_a_source_that_changed_changes_the_lock_and_says_so(folder: Path, registry: Simulator) -> None:
    run(folder, registry)
    write_layout(folder / "app", index(TOOL.descriptor()), TOOL.files)
    with pytest.raises(Drift) as caught:
        run(folder, registry, "--locked")
    assert "app:1: the lock was made from" in caught.value.details
    assert registry.manifests["app", "1"][1] == digest_of(APP.manifest)
    result = run(folder, registry)
    assert "images.lock.yaml: app:1 changed" in result.stderr
    assert "team/tool:1" not in next(line for line in result.stderr.splitlines() if "lock" in line)
    run(folder, registry, "--locked")
    write(folder, *LINES, "- {from: layout, path: app, as: 'new:1'}")
    with pytest.raises(Drift, match="new:1: the lock does not have it"):
        run(folder, registry, "--locked")


def test_a_tag_of_another_registry_is_followed_only_when_asked(folder: Path, registry: Simulator) -> None:
    with Simulator() as upstream, Client(upstream.url) as client:
        write(folder, f"- {urlsplit(upstream.url).netloc}/org/app:1")
        old = place(client, "org/app", "1", b"old").digest
        run(folder, registry)
        new = place(client, "org/app", "1", b"new").digest
        for options, digest in (((), old), (("--locked",), old), (("--update",), new)):
            result = run(folder, registry, *options)
            assert registry.manifests["org/app", "1"][1] == digest
        assert "images.lock.yaml: org/app:1 changed" in result.stderr


def test_report_is_whole_when_an_image_verify_or_the_lock_fails(
    folder: Path, registry: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image failed, and so did verifying or the lock file → stdout has the report, with digests of the others."""
    write(folder, "- {from: layout, path: absent, as: 'absent:1'}", *LINES)
    error, report = failing(folder, registry)
    assert isinstance(error, PushFailed)
    assert error.exit_code == 1 and error.reported
    actions = [(one["image"], one["action"]) for one in report["images"]]
    assert actions == [("absent:1", "failed"), ("app:1", "uploaded"), ("team/tool:1", "uploaded")]
    assert report["images"][0]["fix"]
    assert [one.target for one in lock_of(folder).images] == ["app:1", "team/tool:1"]
    error, report = failing(folder, registry, "--fail-fast")
    assert [one["action"] for one in report["images"]] == ["failed", "untried", "untried"]

    def refuse(*_: object) -> None:
        raise SandboxError("images.lock.yaml cannot be written", id="file")

    with monkeypatch.context() as patch:
        patch.setattr(ImagePush, "follow", refuse)
        error, report = failing(folder, registry)
    assert error.reported and report["lock"]["error"] == error.brief and report["verify"] is None
    assert report["images"][1]["digest"] == digest_of(APP.manifest)
    registry.content[digest_of(APP.layers[1])] = b"x"
    error, report = failing(folder, registry, "--verify")
    assert error.reported and report["verify"]["id"] == "verify-failed" and report["lock"] is None
    assert [image["action"] for image in report["images"]] == ["failed", "skipped", "skipped"]


def test_a_dry_run_changes_nothing(folder: Path, registry: Simulator) -> None:
    lines = run(folder, registry, "--dry-run").stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["uploaded", "app:1"], ["uploaded", "team/tool:1"]]
    assert registry.tags == set() and not (folder / "images.lock.yaml").exists()
    run(folder, registry)
    report = json.loads(run(folder, registry, "--dry-run", "-o", "json").stdout)
    assert ([one["action"] for one in report["images"]], report["bytes"]) == (["skipped", "skipped"], 0)


@pytest.mark.fault(66)
def test_prune_asks_first_and_is_refused_without_a_terminal(
    folder: Path, registry: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`push-images --prune` without a terminal → "add --yes", nothing deleted; without tags to delete it pushes."""
    monkeypatch.setattr("sandbox.engine.Engine.connect", no_engine)
    assert "nothing to prune" in run(folder, registry, "--prune").stderr
    write(folder, LINES[0])
    with pytest.raises(UsageError, match="stdin is not a terminal") as caught:
        run(folder, registry, "--prune")
    assert "team/tool:1" in caught.value.details
    monkeypatch.setattr(output, "has_terminal", lambda: True)
    with pytest.raises(SandboxError) as declined:
        run(folder, registry, "--prune", typed="n\n")
    assert declined.value.id == "declined"
    assert "deleted   team/tool:1" in run(folder, registry, "--prune", "--dry-run").stdout
    with pytest.raises(click.Abort):
        run(folder, registry, "--prune", typed="")
    assert registry.tags == {"app:1", "team/tool:1"}
    result = run(folder, registry, "--prune", "--yes", "-o", "json")
    assert json.loads(result.stdout)["pruned"] == ["team/tool:1"]
    assert "garbage-collect" in result.stderr
    assert registry.tags == {"app:1"}
    assert "nothing to prune" in run(folder, registry, "--prune", "--yes").stderr


def test_unusable_options_are_refused_before_the_engine_is_asked(
    folder: Path, registry: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "connect", no_engine)
    with pytest.raises(UsageError, match="contradict"):
        run(folder, registry, "--locked", "--update")
    with pytest.raises(UsageError, match="there is no lock"):
        run(folder, registry, "--locked")
    with pytest.raises(UsageError, match=r"none\.yaml: no such file"):
        in_process.run(command, folder / "none.yaml")


@pytest.mark.fault(24)
def test_push_to_our_registry_waits_for_a_collection_and_repairs_damage(
    folder: Path, registry: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A layer in the sandbox's registry is damaged → `push-images --verify` sets it aside and pushes it again."""
    monkeypatch.setattr(machine_plan, "registry_url", lambda spec: registry.url)
    (folder / "sandbox.yaml").write_text("name: own\npush: images.yaml\n")
    told: list[str] = []
    collecting = contextlib.ExitStack()
    collecting.enter_context(Session(command="sandbox images gc", patience=0).pushing("own", "collect"))

    def note(progress: str, line: str) -> None:
        told.append(line)
        assert len(told) > 1 or not registry.requests
        collecting.close()

    with monkeypatch.context() as patch:
        patch.setattr(output, "note", note)
        in_process.run(command)
    assert "`sandbox images gc`" in told[0] and [line.partition(": ")[2] for line in told[1:]] == [WRITTEN]
    assert registry.tags == {"app:1", "team/tool:1"}
    digest = digest_of(APP.layers[1])
    registry.content[digest] = b"x"

    def put_aside(_: Sandbox, digests: Collection[str]) -> None:
        assert set(digests) == {digest}
        del registry.content[digest]
        registry.links = {link for link in registry.links if link[1] != digest}

    monkeypatch.setattr(registry_upkeep, "put_aside", put_aside)
    said = in_process.run(command, "--verify").stderr
    assert f"set aside and pushed again: {digest}" in said and "read back" in said
    assert registry.content[digest] == APP.layers[1]


def registry_of(name: str, port: int, *, owner: str | None = None, running: bool = True) -> FakeEngine:
    """Return an engine on which the sandbox NAME of `owner`, or of this user, has a registry at `port`."""
    names, publish = context.home().sandbox(name), {REGISTRY_PORT: (Bind("127.0.0.1", port),)}
    labels = {**names.labels, **({OWNER: owner} if owner else {})}
    engine = FakeEngine("registry:1")
    engine.create_network(names.network, labels)
    container = ContainerSpec(
        name=names.registry,
        image="registry:1",
        command=("x",),
        labels=labels,
        network=names.network,
        address="172.20.0.9",
        publish=publish,
    )
    engine.run(container)
    engine.boxes[names.registry].running = running
    return engine


@pytest.fixture
def port(folder: Path, registry: Simulator) -> int:
    """The port of a registry with two tags, of which the manifest no longer names one."""
    run(folder, registry)
    write(folder, LINES[1])
    return urlsplit(registry.url).port or 0


def prune(folder: Path, *words: str) -> Result:
    return in_process.run(command, folder / "images.yaml", "-f", folder / "sandbox.yaml", "--prune", "--yes", *words)


@pytest.mark.security(22)
@pytest.mark.parametrize("owner", [None, "bob:4711:/home/bob/state"])
@pytest.mark.parametrize("host", ["127.1", "172.20.0.9", "[::ffff:127.0.0.1]"])
@pytest.mark.parametrize("named", ["--registry", "registry.external"])
def test_no_registry_of_a_sandbox_is_pruned_as_an_external_one(
    folder: Path,
    registry: Simulator,
    port: int,
    monkeypatch: pytest.MonkeyPatch,
    owner: str | None,
    host: str,
    named: str,
) -> None:
    """--registry or `registry.external` leads to a sandbox's registry, by whatever name → nothing is deleted there."""
    engine = registry_of("victim", port, owner=owner)
    monkeypatch.setattr(Engine, "connect", staticmethod(lambda: engine))
    with pytest.raises(UsageError, match="is the registry of a sandbox") as caught:
        registry_upkeep.require_no_sandbox(f"{host}:{port}")
    assert "sandbox-victim-registry" in caught.value.details
    assert ("user bob" in caught.value.details) is (owner is not None)
    external = f"{{external: 'localhost:{port}'}}" if named == "registry.external" else "{}"
    (folder / "sandbox.yaml").write_text(f"name: demo\nregistry: {external}\n")
    with pytest.raises(UsageError, match="is the registry of a sandbox"):
        prune(folder, *(("--registry", f"localhost:{port}") if named == "--registry" else ()))
    assert registry.tags == {"app:1", "team/tool:1"}


@pytest.mark.security(22)
@pytest.mark.parametrize(
    ("engine", "id"),
    [
        (lambda port: registry_of("other", port), "not-up"),
        (lambda port: registry_of("demo", port, owner="bob:4711:/home/bob/state"), "name-taken"),
        (lambda port: registry_of("demo", port, running=False), "not-up"),
    ],
    ids=["another sandbox's", "another user's", "ours, stopped"],
)
def test_a_port_alone_is_not_the_sandbox_s_registry(
    folder: Path,
    registry: Simulator,
    port: int,
    monkeypatch: pytest.MonkeyPatch,
    engine: Callable[[int], FakeEngine],
    id: str,
) -> None:
    """The spec's port leads to a registry that is not this sandbox's → nothing is pushed or deleted there."""
    monkeypatch.setattr(Engine, "connect", staticmethod(lambda: engine(port)))
    (folder / "sandbox.yaml").write_text(f"name: demo\nregistry: {{port: {port}}}\n")
    with pytest.raises(SandboxError) as caught:
        prune(folder)
    assert caught.value.id == id
    assert registry.tags == {"app:1", "team/tool:1"}
