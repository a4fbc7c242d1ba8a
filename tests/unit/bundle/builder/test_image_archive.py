"""Layers and archives: the same bytes each time, and what every reader expects in them."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from sandbox.bundle.builder.image_archive import Entry, copy_with_label, write_archive, write_layer, write_tree


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A program, a private file and a link."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "program").write_text("#!")
    (folder / "file").write_text("data")
    (folder / "file").chmod(0o664)
    (folder / "link").symlink_to("file")
    return folder


def entries(source: Path) -> list[Entry]:
    return [
        Entry(name=PurePosixPath("usr/bin/program"), source=source / "program", executable=True),
        Entry(name=PurePosixPath("etc/file"), source=source / "file"),
        Entry(name=PurePosixPath("etc/link"), source=source / "link"),
        Entry(name=PurePosixPath("bin"), target="usr/bin"),
        Entry(name=PurePosixPath("tmp")),
    ]


def members(path: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(path) as tar:
        found = tar.getmembers()
        assert len({one.name for one in found}) == len(found)
        return {one.name: one for one in found}


def test_layer_has_root_as_owner_and_no_times(tmp_path: Path, source: Path) -> None:
    write_layer(entries(source), tmp_path / "layer.tar")
    found = members(tmp_path / "layer.tar")
    for file in source.iterdir():
        os.utime(file, (1, 1), follow_symlinks=False)
    write_layer(reversed(entries(source)), tmp_path / "again.tar")
    assert (tmp_path / "again.tar").read_bytes() == (tmp_path / "layer.tar").read_bytes()
    assert {(one.uid, one.gid, one.uname, one.gname, one.mtime) for one in found.values()} == {(0, 0, "", "", 0)}
    modes = {name: one.mode for name, one in found.items()}
    assert modes.pop("tmp") == 0o1777 and modes.pop("etc/file") == 0o644
    assert modes == {
        **dict.fromkeys(("usr", "usr/bin", "usr/bin/program", "etc"), 0o755),
        "etc/link": 0o777,
        "bin": 0o777,
    }
    assert (found["bin"].linkname, found["etc/link"].linkname) == ("usr/bin", "file")


def test_tree_keeps_modes_and_hard_links_and_empties_folders(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("etc", "run/deep", "dev"):
        (root / name).mkdir(parents=True)
    (root / "etc" / "secret").write_text("x")
    (root / "etc" / "secret").chmod(0o4750)
    (root / "etc" / "same").hardlink_to(root / "etc" / "secret")
    (root / "run" / "deep" / "pid").write_text("1")
    write_tree(root, tmp_path / "one.tar", empty=["run"])
    found = members(tmp_path / "one.tar")
    assert {"./run", "./etc/same", "./etc/secret", "./dev"} <= found.keys()
    assert not any(name.startswith("./run/") for name in found)
    assert {one.mtime for one in found.values()} == {0}
    assert found["./etc/secret"].mode == found["./etc/same"].mode == 0o4750
    assert found["./etc/secret"].islnk() != found["./etc/same"].islnk()
    for path in (root, root / "etc"):
        os.utime(path, (5, 5))
    write_tree(root, tmp_path / "two.tar", empty=["run"])
    assert (tmp_path / "two.tar").read_bytes() == (tmp_path / "one.tar").read_bytes()


def test_archive_is_oci_layout_and_docker_save_that_agree(tmp_path: Path, source: Path) -> None:
    archive, layer = tmp_path / "image.tar", tmp_path / "layer.tar"
    write_layer(entries(source), layer)
    content_of_layer = layer.read_bytes()
    diff_id = f"sha256:{hashlib.sha256(content_of_layer).hexdigest()}"
    names = ["sandbox.dev/x:1", "example.com/y:2"]
    write_archive(archive, layer=layer, names=names, config={"Cmd": ["x"], "Labels": {"a": "b"}})
    assert not layer.exists()
    with tarfile.open(tmp_path / "image.tar") as tar:
        content = {one.name: tar.extractfile(one).read() for one in tar if one.isfile()}  # type: ignore[union-attr]
    for name, data in content.items():
        if name.startswith("blobs/"):
            assert name == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"

    def blob(descriptor: dict[str, Any]) -> bytes:
        data = content["blobs/" + descriptor["digest"].replace(":", "/")]
        assert len(data) == descriptor["size"]
        return data

    assert json.loads(content["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads(content["index.json"])
    assert [one["annotations"]["io.containerd.image.name"] for one in index["manifests"]] == names
    (manifest,) = {blob(one) for one in index["manifests"]}
    described = json.loads(manifest)
    config = json.loads(blob(described["config"]))
    assert config["rootfs"]["diff_ids"] == [diff_id]
    assert config["config"] == {"Cmd": ["x"], "Labels": {"a": "b"}}
    (only,) = described["layers"]
    assert blob(only) == content_of_layer
    (docker,) = json.loads(content["manifest.json"])
    assert docker["RepoTags"] == names
    assert docker["Config"] == "blobs/" + described["config"]["digest"].replace(":", "/")
    assert docker["Layers"] == ["blobs/" + diff_id.replace(":", "/")]
    copy_with_label(tmp_path / "image.tar", tmp_path / "copy.tar", {"c": "d"})
    with tarfile.open(tmp_path / "copy.tar") as tar:
        (copied,) = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        changed = json.load(tar.extractfile(copied["Config"]))  # type: ignore[arg-type]
    assert {**copied, "Config": docker["Config"]} == docker and copied["Config"] != docker["Config"]
    assert changed == {**config, "config": {"Cmd": ["x"], "Labels": {"a": "b", "c": "d"}}}
    assert not list(tmp_path.glob("*.layer"))
