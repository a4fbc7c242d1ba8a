"""Files made to do harm are refused in words, and nothing outside of them is touched."""

from __future__ import annotations

import gzip
import json
import os
import tarfile
import tracemalloc
from collections.abc import Callable
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest

from sandbox.config import yaml_text
from sandbox.errors import BadFile
from sandbox.images.images_yaml import Entry, FromArchive, FromLayout
from sandbox.images.push import PushFailed, push
from sandbox.kube import manifests
from sandbox.oci.digest import of
from sandbox.oci.reference import parse_target
from tests.support.images import TestImage, index, layer, tar, write_layout
from tests.support.registry_simulator import Simulator

SECRET = "canary of another file"
BOMB = "a0: &a0 {x: y}\n" + "".join(f"a{n}: &a{n} {{<<: [{f'*a{n - 1}, ' * 9}]}}\n" for n in range(1, 20))
APP = TestImage((layer(1),), "app")


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 30)


ODD: list[Callable[[Path], object]] = [os.mkfifo, endless, huge]
TEXTS = (BOMB, "&a [*a]", "a: " + "[" * 500 + "]" * 500, "a: " + "9" * 5000, "a: !!binary eA==")


@pytest.mark.fault(43)
@pytest.mark.parametrize("make", [*ODD, *(methodcaller("write_text", text) for text in TEXTS)])
def test_manifest_that_is_made_to_do_harm_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], object]
) -> None:
    """Alias bombs, circles, tags, pipes, endless and huge files among manifests → refused at once, with the file."""
    monkeypatch.setattr(yaml_text, "MAX_VALUES", 20_000)  # a million takes two seconds
    file = tmp_path / "k8s" / "a.yaml"
    file.parent.mkdir()
    make(file)
    for paths in ([file], [file.parent]):
        with pytest.raises(BadFile) as caught:
            manifests.load(paths)
        assert caught.value.brief.startswith(str(file))
        assert len(str(caught.value)) < 5_000


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file of the user's that has no business in any image."""
    path = tmp_path / "secret"
    path.write_text(SECRET)
    return path


def refused(entry: Entry) -> str:
    """Return the error of a push that sends nothing and takes little memory."""
    with Simulator() as registry:
        tracemalloc.start()
        try:
            with pytest.raises(PushFailed) as caught:
                push([entry], registry.url)
            assert tracemalloc.get_traced_memory()[1] < 32 << 20
        finally:
            tracemalloc.stop()
        assert not any(SECRET.encode() in content for content in registry.content.values())
        assert not registry.manifests
    return str(caught.value)


@pytest.mark.fault(46)
@pytest.mark.security(9)
@pytest.mark.parametrize(
    "name", ["../secret", "/{place}", "a/../../secret", "..\\secret", "link", "link/secret", "hard"]
)
def test_an_archive_cannot_name_files_outside_of_it(tmp_path: Path, outside: Path, name: str) -> None:
    """Layers called ../secret or /secret, links and hard links that lead there → the image fails, nothing is read."""
    name = name.replace("/{place}", str(outside))
    path = tmp_path / "app.tar"
    saved = json.dumps([{"Config": "config.json", "RepoTags": ["app:dev"], "Layers": [name]}]).encode()
    files = {"config.json": APP.config, "manifest.json": saved}
    path.write_bytes(tar(files, {"link": str(outside), "hard": "../secret"}))
    assert "app:dev" in refused(FromArchive(parse_target("app:dev"), path))
    assert outside.read_text() == SECRET


@pytest.mark.fault(46)
@pytest.mark.security(9)
def test_an_oci_folder_cannot_name_files_outside_of_it(tmp_path: Path, outside: Path) -> None:
    """A digest sha256:../../secret, or a blob that is a link to it → the image fails, nothing is sent."""
    descriptor: dict[str, Any] = {**APP.descriptor(), "digest": "sha256:../../../secret"}
    write_layout(tmp_path / "oci", index(descriptor), APP.files)
    refused(FromLayout(parse_target("app:dev"), tmp_path / "oci"))
    write_layout(tmp_path / "linked", index(APP.descriptor()), APP.files)
    blob = tmp_path / "linked" / "blobs" / "sha256" / of(APP.layers[0]).partition(":")[2]
    blob.unlink()
    blob.symlink_to(outside)
    refused(FromLayout(parse_target("app:dev"), tmp_path / "linked"))


@pytest.mark.fault(47)
@pytest.mark.parametrize(("size", "reason"), [(100 << 30, "would be"), (-1024, "not a readable tar archive")])
def test_archive_with_an_impossible_size_is_refused(tmp_path: Path, size: int, reason: str) -> None:
    """A small file with a layer of 100 GB, or of a size that sends readers back (CVE-2025-8194) → refused at once."""
    header = tarfile.TarInfo("layer.tar")
    header.size = size
    (tmp_path / "bomb.tar").write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20)))
    assert reason in refused(FromArchive(parse_target("app:dev"), tmp_path / "bomb.tar"))


@pytest.mark.fault(47)
@pytest.mark.parametrize("form", ["pax", "map"])
def test_archive_whose_headers_swell_is_refused(tmp_path: Path, form: str) -> None:
    """A small gzip file with a header or a map of a sparse file without end → refused with little memory."""
    info, record = tarfile.TarInfo("x"), b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
    pax = tarfile.TarInfo("pax")
    pax.type, pax.size = tarfile.XHDTYPE, (64 << 20) if form == "pax" else len(record)
    content = {
        "pax": pax.tobuf() + bytes(64 << 20),
        "map": pax.tobuf() + record.ljust(512, b"\0") + info.tobuf() + b"99999999\n" + b"0\n" * (32 << 20),
    }
    (tmp_path / "bomb.tar").write_bytes(gzip.compress(content[form], compresslevel=1))
    assert "not a readable tar archive" in refused(FromArchive(parse_target("app:dev"), tmp_path / "bomb.tar"))


@pytest.mark.fault(47)
@pytest.mark.parametrize("place", ["index.json", "blobs", "archive"])
@pytest.mark.parametrize("make", ODD)
def test_image_that_is_no_usual_file_is_refused(tmp_path: Path, place: str, make: Callable[[Path], object]) -> None:
    """A pipe, a link to /dev/zero or a file of 1 GB as the index, manifest or archive of an image → refused at once."""
    folder, target = tmp_path / "oci", parse_target("app:dev")
    write_layout(folder, index(APP.descriptor()), APP.files)
    digest = APP.descriptor()["digest"].partition(":")[2]
    path = {"index.json": folder / place, "blobs": folder / "blobs" / "sha256" / digest, "archive": tmp_path / "a.tar"}
    path[place].unlink(missing_ok=True)
    make(path[place])
    entry = FromArchive(target, path[place]) if place == "archive" else FromLayout(target, folder)
    assert str(tmp_path) in refused(entry)
