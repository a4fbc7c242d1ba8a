"""Images that are odd though they are valid: nothing in them, or layers that no registry has."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.images.images_yaml import Entry, FromArchive, FromLayout, FromRegistry
from sandbox.images.push import PushFailed, push
from sandbox.images.sources.image_tar import archive_image
from sandbox.images.sources.layout import layout_image
from sandbox.oci import manifest as manifests
from sandbox.oci.image import Image
from sandbox.oci.manifest import CONTAINERD_NAME
from sandbox.oci.oci_errors import BadImage
from sandbox.oci.reference import parse as reference
from sandbox.oci.reference import parse_target
from tests.support.images import (
    TestImage,
    descriptor_of,
    digest_of,
    index,
    layer,
    place,
    tar,
    write_index,
    write_layout,
)
from tests.support.registry_simulator import Simulator

APP = TestImage((layer(1),), "app")
OTHER = TestImage((layer(2),), "other")
EMPTY = index()


def image_of(path: Path, name: str | None = None) -> Image:
    with contextlib.ExitStack() as stack:
        return archive_image(path, name, stack)


def archive(path: Path, files: dict[str, bytes]) -> Path:
    path.write_bytes(tar(files))
    return path


def holders(folder: Path, upstream: Simulator) -> list[tuple[Entry, str]]:
    """Everything that can hold an image and holds none, and what the error must name."""
    listed, empty = folder / "listed", folder / "empty"
    empty.mkdir()
    write_layout(empty, index(), {})
    write_index(listed, EMPTY)
    upstream.publish_index(EMPTY, (), "app", "1")
    name = f"{upstream.url.removeprefix('http://')}/app@{digest_of(EMPTY)}"
    inner = {"index.json": index(descriptor_of(EMPTY)), place(digest_of(EMPTY)): EMPTY}
    target = parse_target("a:1")
    return [
        (FromLayout(target, empty), str(empty)),
        (FromLayout(target, listed), str(listed)),
        (FromArchive(target, archive(folder / "a.tar", {"index.json": index()})), "a.tar"),
        (FromArchive(target, archive(folder / "b.tar", inner)), "b.tar"),
        (FromArchive(target, archive(folder / "c.tar", {"manifest.json": b"[]"})), "c.tar"),
        (FromRegistry(target, reference(name)), name),
    ]


@pytest.mark.fault(39)
@pytest.mark.parametrize("number", range(6))
def test_archive_without_an_image_is_an_error(tmp_path: Path, registry: Simulator, number: int) -> None:
    """A layout, an archive or an index that lists no image → the push fails and names it; nothing is written."""
    with Simulator() as upstream:
        entry, name = holders(tmp_path, upstream)[number]
        with pytest.raises(PushFailed, match="1 of 1 images not pushed") as caught:
            push([entry], registry.url)
        assert f"{name} holds no image" in caught.value.details
        assert caught.value.fix
        with pytest.raises(PushFailed):
            push([entry], registry.url, dry=True)
    assert not registry.manifests and not registry.content


def saved_by_id(folder: Path) -> Path:
    """What `docker save ID ID` writes: images without names."""
    table: list[dict[str, Any]] = [
        {"Config": f"{digest_of(one.config).removeprefix('sha256:')}.json", "RepoTags": None, "Layers": ["l.tar"]}
        for one in (APP, OTHER)
    ]
    files = {table[0]["Config"]: APP.config, table[1]["Config"]: OTHER.config, "l.tar": OTHER.layers[0]}
    return archive(folder / "ids.tar", {**files, "manifest.json": json.dumps(table).encode()})


def nameless(folder: Path) -> Path:
    write_layout(folder, index(APP.on("linux/arm64"), OTHER.descriptor()), APP.files | OTHER.files)
    return folder


@pytest.mark.parametrize("make", [saved_by_id, nameless])
def test_images_without_names_are_chosen_as_the_error_says(
    tmp_path: Path, registry: Simulator, make: Callable[[Path], Path]
) -> None:
    path = make(tmp_path)
    kind = FromLayout if path.is_dir() else FromArchive
    wanted = digest_of(OTHER.manifest if path.is_dir() else OTHER.config)
    with pytest.raises(PushFailed, match="holds 2 images") as caught:
        push([kind(parse_target("a:1"), path)], registry.url)
    assert wanted in caught.value.details and caught.value.fix == "say which one with `image:`"
    push([kind(parse_target("a:1"), path, wanted)], registry.url)
    assert registry.manifest("a", "1")["config"]["digest"] == digest_of(OTHER.config)


def test_saved_image_is_chosen_by_the_id_that_docker_shows(tmp_path: Path) -> None:
    short = digest_of(OTHER.config).removeprefix("sha256:")[:12]
    assert digest_of(OTHER.config) in {blob.digest for blob in image_of(saved_by_id(tmp_path), short).blobs}
    with pytest.raises(BadImage, match="has no image"):
        image_of(saved_by_id(tmp_path), short[:11])


def saved_index(folder: Path) -> tuple[Path, bytes]:
    """What Docker 29 saves of an image for two platforms with raw layers: manifest.json has one of them."""
    top = index(APP.on("linux/amd64"), OTHER.on("linux/arm64"))
    layers = [place(digest_of(one)) for one in APP.layers]
    table = [{"Config": place(digest_of(APP.config)), "RepoTags": ["app:1"], "Layers": layers}]
    files = {place(digest): data for digest, data in (APP.files | OTHER.files | {digest_of(top): top}).items()}
    tables = {"manifest.json": json.dumps(table).encode()}
    tables["index.json"] = index({**descriptor_of(top), "annotations": {CONTAINERD_NAME: "docker.io/library/app:1"}})
    return archive(folder / "saved.tar", files | tables), top


def test_saved_index_keeps_all_its_platforms(tmp_path: Path, registry: Simulator) -> None:
    path, top = saved_index(tmp_path)
    assert image_of(path, digest_of(top).removeprefix("sha256:")[:12]).root.data == top
    arm = FromArchive(parse_target("arm:1"), path, "app:1", ("linux/arm64",))
    whole, one = push([FromArchive(parse_target("app:1"), path), arm], registry.url)
    assert (whole.digest, one.digest) == (digest_of(top), digest_of(OTHER.manifest))


def test_image_with_a_layer_by_sha512_is_refused(tmp_path: Path, registry: Simulator) -> None:
    long = f"sha512:{hashlib.sha512(APP.layers[0]).hexdigest()}"
    content = json.loads(APP.manifest)
    content["layers"][0]["digest"] = long
    manifest = json.dumps(content).encode()
    named = {"mediaType": manifests.OCI_MANIFEST, "digest": digest_of(manifest), "size": len(manifest)}
    write_layout(tmp_path, index(named), {**APP.files, digest_of(manifest): manifest, long: APP.layers[0]})
    with pytest.raises(PushFailed, match="not a valid image document") as caught:
        push([FromLayout(parse_target("a:1"), tmp_path)], registry.url)
    assert long in caught.value.details and not registry.content


def test_folder_and_file_that_are_mixed_up_say_so(tmp_path: Path) -> None:
    with pytest.raises(BadImage) as caught:
        image_of(nameless(tmp_path / "layout"))
    assert "from: layout" in caught.value.fix
    with pytest.raises(BadImage) as caught:
        layout_image(archive(tmp_path / "a.tar", {}))
    assert "from: archive" in caught.value.fix


@pytest.mark.parametrize("kind", [FromLayout, FromArchive])
def test_document_that_has_changed_is_not_pushed(
    tmp_path: Path, registry: Simulator, kind: type[FromLayout | FromArchive]
) -> None:
    inner = index(APP.on("linux/amd64"), OTHER.on("linux/arm64"))
    blobs = {**APP.files, **OTHER.files, digest_of(inner): inner, digest_of(APP.manifest): APP.manifest + b"\n"}
    if kind is FromLayout:
        path = write_layout(tmp_path / "layout", index(descriptor_of(inner)), blobs)
    else:
        files = {place(digest): data for digest, data in blobs.items()}
        path = archive(tmp_path / "a.tar", {"index.json": index(descriptor_of(inner)), **files})
    with pytest.raises(PushFailed, match=f"{path} is damaged") as caught:
        push([kind(parse_target("a:1"), path)], registry.url)
    assert f"{digest_of(APP.manifest)} is not whole" in caught.value.details and caught.value.fix
    assert not registry.manifests


def test_archive_that_is_gone_when_a_layer_is_read_is_named(tmp_path: Path) -> None:
    path = saved_by_id(tmp_path)
    image = image_of(path, digest_of(OTHER.config))
    path.unlink()
    with pytest.raises(BadImage, match=f"{path} cannot be read"), image.origin.open(image.blobs[-1]) as chunks:
        list(chunks)


def test_a_document_that_nests_without_end_is_refused() -> None:
    deep = b'{"schemaVersion": 2, "layers": ' + b"[" * 100_000
    with pytest.raises(BadImage, match="not JSON"):
        manifests.document(deep)
    with pytest.raises(BadImage, match="not a valid"):
        manifests.parse(manifests.Document(manifests.OCI_MANIFEST, deep))
