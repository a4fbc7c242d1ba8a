"""The tags of a registry and whose bytes they are; what is deleted, never what a tag needs, and what `verify` finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from sandbox.images import canary_image
from sandbox.images.images_yaml import Entry, FromLayout
from sandbox.images.progress import Observer, Result
from sandbox.images.push import push
from sandbox.images.registry_content import (
    Garbage,
    catalogue,
    image_size,
    measure_garbage,
    prune,
    tagged,
    tagged_below,
    unlisted,
)
from sandbox.images.verify import VerifyFailed, verify
from sandbox.oci import digest as digests
from sandbox.oci.client import Client
from sandbox.oci.manifest import OCI_CONFIG, OCI_INDEX, OCI_LAYER, Descriptor, Document, canonical, image_manifest
from sandbox.oci.oci_errors import RegistryError
from sandbox.oci.reference import Target, parse_target
from tests.support.images import (
    FakeEngine,
    TestImage,
    descriptor_of,
    digest_of,
    from_engine,
    index,
    layer,
    write_index,
    write_layout,
)
from tests.support.registry_simulator import Fault, Simulator

BASE, TOP = layer(1), layer(2)
APP, TOOL = TestImage((BASE, TOP), "app"), TestImage((BASE,), "tool")


@pytest.fixture
def registry() -> Iterator[Simulator]:
    with Simulator(page=2) as simulator:
        yield simulator


@pytest.fixture
def client(registry: Simulator) -> Iterator[Client]:
    with Client(registry.url) as client:
        yield client


def fill(registry: Simulator, *names: tuple[str, str]) -> tuple[Result, ...]:
    return push([from_engine(*pair) for pair in names], registry.url, FakeEngine({"app": APP, "tool": TOOL}))


def manifests(registry: Simulator, repository: str) -> set[str]:
    return {tag for name, tag in registry.manifests if name == repository and ":" in tag}


def test_unnamed_tags_are_found_on_every_page(registry: Simulator, client: Client) -> None:
    fill(registry, *[(f"app:{number}", "app") for number in range(5)], ("b:1", "tool"), ("c:1", "tool"), ("d:1", "app"))
    found = unlisted(client, [parse_target("app:3"), parse_target("c:1")])
    assert [str(one) for one in found] == ["app:0", "app:1", "app:2", "app:4", "b:1", "d:1"]


def test_images_of_addons_are_not_pruned_but_found_by_addon(registry: Simulator, client: Client) -> None:
    fill(registry, ("app:1", "app"), ("addons/web/acme/app:1", "app"), ("addons/webhook/app:1", "tool"))
    assert [str(one) for one in unlisted(client, [])] == ["app:1"]
    assert [str(one) for one in tagged_below(client, "addons/web/")] == ["addons/web/acme/app:1"]
    assert image_size(client, "app", "1") > sum(map(len, APP.layers))
    assert image_size(client, "app", "absent") == image_size(client, "app", None) == 0


def test_manifest_goes_with_its_last_tag_and_stays_if_named(registry: Simulator, client: Client) -> None:
    fill(registry, ("app:keep", "app"), ("app:same", "app"), ("app:old", "tool"), ("gone:1", "app"))
    keep = [parse_target("app:keep")]
    prune(client, unlisted(client, keep), keep)
    assert registry.tags == {"app:keep"}
    assert manifests(registry, "app") == {registry.manifests["app", "keep"][1]}
    assert manifests(registry, "gone") == set()
    assert unlisted(client, keep) == ()


def test_platforms_go_with_their_index_unless_tagged(registry: Simulator, client: Client, tmp_path: Path) -> None:
    top = index(APP.on("linux/amd64"), TOOL.descriptor())
    blobs = {**APP.files, **TOOL.files, digest_of(top): top}
    write_layout(tmp_path, index(descriptor_of(top), TOOL.descriptor()), blobs)
    tool = digest_of(TOOL.manifest)
    entries: list[Entry] = [
        FromLayout(parse_target("app:index"), tmp_path, digest_of(top)),
        FromLayout(Target("app", None, tool), tmp_path, tool),
    ]
    push(entries, registry.url)
    keep = [Target("app", None, tool)]
    prune(client, unlisted(client, keep), keep)
    assert (registry.tags, manifests(registry, "app")) == (set(), {tool})


def test_a_registry_that_cannot_delete_says_so(registry: Simulator, client: Client) -> None:
    fill(registry, ("app:1", "app"), ("app:2", "app"), ("app:3", "tool"))
    registry.deletes = ""
    with pytest.raises(RegistryError, match="HTTP status 405") as refused:
        prune(client, unlisted(client, []), [])
    assert "REGISTRY_STORAGE_DELETE_ENABLED" in refused.value.fix
    registry.deletes = "digests"
    keep = [parse_target("app:1")]
    with pytest.raises(RegistryError, match="app/manifests/2") as refused:
        prune(client, unlisted(client, keep), keep)
    assert registry.tags == {"app:1", "app:2", "app:3"}
    prune(client, [one for one in unlisted(client, keep) if one.tag == "3"], keep)
    assert registry.tags == {"app:1", "app:2"}


def place(client: Client, repository: str, tag: str | None, *layers: bytes) -> Document:
    """An image with these layers; its configuration is the last layer's bytes again, in small."""
    blobs = [Descriptor(OCI_LAYER, digests.of(data), len(data)) for data in layers]
    config = canonical({"rootfs": {"type": "layers", "diff_ids": [blob.digest for blob in blobs]}})
    first = Descriptor(OCI_CONFIG, digests.of(config), len(config))
    for blob, data in zip((first, *blobs), (config, *layers), strict=True):
        client.upload(repository, blob, lambda data=data: nullcontext(iter([data])))  # type: ignore[misc]
    document = image_manifest(first, blobs)
    client.put_manifest(repository, tag or document.digest, document)
    return document


def test_an_index_has_the_bytes_of_its_platforms(client: Client) -> None:
    children = [place(client, "app", None, layer) for layer in (b"amd", b"arm64")]
    listed = [child.descriptor.as_json() for child in children]
    index = Document(OCI_INDEX, canonical({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}))
    client.put_manifest("app", "1", index)
    (tag,) = catalogue(client).tags
    assert {index.digest, *(child.digest for child in children), digests.of(b"amd")} <= tag.blobs.keys()


def test_manifests_and_blobs_count_each_once(client: Client) -> None:
    document = place(client, "app", None, b"layer")
    blob = Descriptor(OCI_LAYER, digests.of(b"aborted push"), 12)
    staying = Descriptor(OCI_LAYER, digests.of(b"shared"), 6)
    for repository in ("app", "other"):
        client.upload(repository, blob, lambda: nullcontext(iter([b"aborted push"])))
        client.upload(repository, staying, lambda: nullcontext(iter([b"shared"])))
    nowhere = digests.of(b"no one admits to it")
    doomed = "".join(f"blob eligible for deletion: {one}\n" for one in (document.digest, blob.digest, nowhere))
    said = (
        f"manifest eligible for deletion: {{app {document.digest} [1 2]}}\n\n"
        f"0 blobs marked, 3 blobs and 1 manifests eligible for deletion\n{doomed}"
        f"app: layer link eligible for deletion: {blob.digest}\n"
        f"other: layer link eligible for deletion: {blob.digest}\n"
        f"app: layer link eligible for deletion: {staying.digest}\n"
    )
    size = len(document.data) + 12 + 30 + 4
    garbage = Garbage((f"app@{document.digest}",), 3, size, leftovers=2)
    assert measure_garbage(client, said, {"upload": 30, "damaged": 4}) == garbage


def test_images_named_by_digest_are_tagged_during_collection(registry: Simulator, client: Client) -> None:
    document = place(client, "app", None, b"layer")
    named, gone = Target("app", "1"), Target("app", None, digests.of(b"gone"))
    targets = [Target("app", None, document.digest), named, gone]
    with tagged(client, targets):
        (tag,) = client.tags("app")
        assert client.manifest_digest("app", tag) == document.digest
    assert client.tags("app") == ()
    assert client.manifest_digest("app", document.digest) == document.digest
    refused = place(client, "other", None, b"layer")
    registry.faults.append(Fault("PUT", "/v2/other/manifests/", 403))
    with pytest.raises(RegistryError), tagged(client, [*targets, Target("other", None, refused.digest)]):
        pass
    assert registry.tags == set()


def test_canary_is_pushed_again_only_when_it_is_gone(registry: Simulator, client: Client) -> None:
    name = canary_image.place(client)
    repository, _, digest = name.partition("@")
    assert canary_image.place(client) == name
    assert (client.tags(repository), registry.count("POST")) == ((), 2)
    client.delete_manifest(repository, digest)
    assert canary_image.place(client) == name
    assert client.manifest(repository, digest) == canary_image.document()


def pushed(registry: Simulator) -> dict[Target, str]:
    results = fill(registry, ("app:1", "app"), ("tool:1", "tool"))
    return {parse_target(one.target): one.digest for one in results}


def test_verification_downloads_a_blob_that_two_images_share_only_once(registry: Simulator, client: Client) -> None:
    digests = pushed(registry)
    registry.forget()
    assert verify(digests, client, Observer()) == sum(map(len, (BASE, TOP, APP.config, TOOL.config)))
    assert registry.count("GET", f"/blobs/{digest_of(BASE)}") == 1
    assert registry.count("HEAD", f"/blobs/{digest_of(BASE)}") == 1


def move_tag(registry: Simulator) -> None:
    push([from_engine("app:1")], registry.url, FakeEngine({"app:1": TestImage((TOP,))}))


@pytest.mark.fault(24)
@pytest.mark.parametrize(
    ("harm", "faults"),
    [
        (lambda registry: registry.manifests.pop(("app", "1")), ["app:1: the registry has no such tag"]),
        (move_tag, ["app:1: its tag names sha256:"]),
        (
            lambda registry: registry.content.update({digest_of(APP.config): APP.config[:-1] + b"?"}),
            [f"app:1: {digest_of(APP.config)} (application/vnd.oci.image.config.v1+json)"],
        ),
        (
            lambda registry: registry.content.update({digest_of(TOP): TOP[:-1]}),
            [f"app:1: {digest_of(TOP)} (application/vnd.oci.image.layer.v1.tar)"],
        ),
        (
            lambda registry: registry.links.remove(("tool", digest_of(BASE))),
            [f"tool:1: {digest_of(BASE)} (application/vnd.oci.image.layer.v1.tar) is not there"],
        ),
        (
            lambda registry: registry.links.difference_update({(name, digest_of(BASE)) for name in ("app", "tool")}),
            [f"app:1: {digest_of(BASE)}", f"tool:1: {digest_of(BASE)}"],
        ),
    ],
)
def test_verify_names_every_fault(
    registry: Simulator, client: Client, harm: Callable[[Simulator], object], faults: list[str]
) -> None:
    """A tag, a link or a blob is lost, a layer cut short → `push-images --verify` names each."""
    digests = pushed(registry)
    harm(registry)
    with pytest.raises(VerifyFailed) as caught:
        verify(digests, client, Observer())
    lines = caught.value.details.splitlines()
    assert all(line.startswith(fault) for line, fault in zip(lines, faults, strict=True))


def test_a_platform_that_is_gone_is_named(registry: Simulator, client: Client, tmp_path: Path) -> None:
    write_index(tmp_path, index(APP.on("linux/amd64"), TOOL.descriptor()), APP, TOOL)
    target = parse_target("app:1")
    (result,) = push([FromLayout(target, tmp_path)], registry.url)
    verify({target: result.digest}, client, Observer())
    del registry.manifests["app", digest_of(APP.manifest)]
    with pytest.raises(VerifyFailed, match=f"{digest_of(APP.manifest)} .linux/amd64. is not there"):
        verify({target: result.digest}, client, Observer())
