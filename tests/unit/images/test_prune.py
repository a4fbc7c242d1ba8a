"""Deletion takes what no manifest names, and never what a tag that stays still needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.errors import SandboxError
from sandbox.images.images_yaml import Entry, FromDaemon, FromLayout
from sandbox.images.prune import prune, unlisted
from sandbox.images.push import push
from sandbox.images.target import Target, parse
from sandbox.oci.client import Client
from sandbox.oci.manifest import OCI_INDEX
from tests.support.images import FakeEngine, TestImage, digest_of, index, layer, write_layout
from tests.support.registry_simulator import Simulator

APP, TOOL = TestImage((layer(1), layer(2)), "app"), TestImage((layer(1),), "tool")
ENGINE = {"app": APP, "tool": TOOL}


@pytest.fixture
def registry() -> Iterator[Simulator]:
    with Simulator(page=2) as simulator:
        yield simulator


@pytest.fixture
def client(registry: Simulator) -> Iterator[Client]:
    with Client(registry.url) as client:
        yield client


def fill(registry: Simulator, *names: tuple[str, str]) -> None:
    entries: list[Entry] = [FromDaemon(parse(target), image) for target, image in names]
    push(entries, registry.url, FakeEngine(ENGINE))


def remaining(registry: Simulator) -> set[str]:
    return {f"{repository}:{tag}" for repository, tag in registry.manifests if ":" not in tag}


def manifests(registry: Simulator, repository: str) -> set[str]:
    return {tag for name, tag in registry.manifests if name == repository and ":" in tag}


def test_unnamed_tags_are_found_on_every_page(registry: Simulator, client: Client) -> None:
    fill(registry, *[(f"app:{number}", "app") for number in range(5)], ("b:1", "tool"), ("c:1", "tool"), ("d:1", "app"))
    found = unlisted(client, [parse("app:3"), parse("c:1")])
    assert [str(one) for one in found] == ["app:0", "app:1", "app:2", "app:4", "b:1", "d:1"]


def test_manifest_goes_with_its_last_tag_and_stays_if_named(registry: Simulator, client: Client) -> None:
    fill(registry, ("app:keep", "app"), ("app:same", "app"), ("app:old", "tool"), ("gone:1", "app"))
    keep = [parse("app:keep")]
    prune(client, unlisted(client, keep), keep)
    assert remaining(registry) == {"app:keep"}
    assert manifests(registry, "app") == {registry.manifests["app", "keep"][1]}
    assert manifests(registry, "gone") == set()
    assert unlisted(client, keep) == ()


def test_platforms_go_with_their_index_unless_tagged(registry: Simulator, client: Client, tmp_path: Path) -> None:
    top = index(APP.descriptor(platform={"os": "linux", "architecture": "amd64"}), TOOL.descriptor())
    listed = {"mediaType": OCI_INDEX, "digest": digest_of(top), "size": len(top)}
    write_layout(tmp_path, index(listed, TOOL.descriptor()), {**APP.files, **TOOL.files, digest_of(top): top})
    tool = digest_of(TOOL.manifest)
    entries: list[Entry] = [
        FromLayout(parse("app:index"), tmp_path, digest_of(top)),
        FromLayout(Target("app", None, tool), tmp_path, tool),
    ]
    push(entries, registry.url)
    keep = [Target("app", None, tool)]
    prune(client, unlisted(client, keep), keep)
    assert (remaining(registry), manifests(registry, "app")) == (set(), {tool})


def test_a_registry_that_cannot_delete_says_so(registry: Simulator, client: Client) -> None:
    fill(registry, ("app:1", "app"), ("app:2", "app"), ("app:3", "tool"))
    registry.deletes = ""
    with pytest.raises(SandboxError, match="does not allow deletion"):
        prune(client, unlisted(client, []), [])
    registry.deletes = "digests"
    keep = [parse("app:1")]
    with pytest.raises(SandboxError, match="cannot delete the tag app:2 alone"):
        prune(client, unlisted(client, keep), keep)
    assert remaining(registry) == {"app:1", "app:2", "app:3"}
    prune(client, [one for one in unlisted(client, keep) if one.tag == "3"], keep)
    assert remaining(registry) == {"app:1", "app:2"}
