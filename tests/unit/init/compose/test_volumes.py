"""Volumes of compose services: folders for data are claims, files of the project at any depth ConfigMaps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.init.detected import App
from sandbox.init.kubernetes_objects import manifest
from tests.support.project_folder import load


def service(folder: Path, *volumes: str, image: str = "image: x") -> App:
    (folder / "compose.yaml").write_text(f"services: {{db: {{{image}, volumes: [{', '.join(volumes)}]}}}}\n")
    (app,), _ = load(folder / "compose.yaml")
    return app


def objects(app: App) -> dict[str, Any]:
    return {one["kind"]: one for one in yaml.safe_load_all(manifest(app, image="x", host=None))}


@pytest.mark.parametrize(
    ("volume", "claim"),
    [
        ("./data:/var/lib/mysql", "data"),
        ("./data/:/data:Z", "data"),
        ("/mnt/nothing-is-here/db:/db", "mnt-nothing-is-here-db"),
        ("./empty:/data.d", "empty"),
        ("./absent.conf:/etc/my.conf", None),
        ("/run/nothing-is-here:/x", None),
        ("~/nothing-is-here:/x", None),
    ],
)
def test_folder_for_data_is_a_claim(tmp_path: Path, volume: str, claim: str | None) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/.gitkeep").touch()
    app = service(tmp_path, volume)
    source, place = volume.split(":")[:2]
    assert app.claims == ({place: claim} if claim else {})
    assert app.left_out == (() if claim else (f"volumes.{source.removeprefix('./')}",))


def test_folders_of_files_may_have_others(tmp_path: Path) -> None:
    """Grafana reads its provisioning from folders; keys of a ConfigMap have no slash, and only some signs."""
    for name in ("a/one.yaml", "a_one.yaml", "b/ä ö.json", "..x"):
        (tmp_path / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / name).write_text(name)
    made = objects(service(tmp_path, "./conf:/conf"))
    items = made["Deployment"]["spec"]["template"]["spec"]["volumes"][0]["configMap"]["items"]
    keys = {one["path"]: one["key"] for one in items}
    assert keys == {"..x": "_x", "a/one.yaml": "a_one.yaml", "a_one.yaml": "a_one.yaml-2", "b/ä ö.json": "b____.json"}
    assert made["ConfigMap"]["data"] == {key: path for path, key in keys.items()}


def test_file_of_any_name_is_mounted(tmp_path: Path) -> None:
    (tmp_path / "my ü.conf").write_text("x")
    made = objects(service(tmp_path, "'./my ü.conf:/my.conf'"))
    pod = made["Deployment"]["spec"]["template"]["spec"]
    assert made["ConfigMap"]["data"] == {"my__.conf": "x"}
    assert pod["containers"][0]["volumeMounts"] == [
        {"name": "db-files-1", "mountPath": "/my.conf", "subPath": "my__.conf"}
    ]
    assert "items" not in pod["volumes"][0]["configMap"]


def test_folder_that_the_build_fills_is_not_hidden(tmp_path: Path) -> None:
    """An engine copies an image's files into a new volume; a claim is empty."""
    modules = "modules:/app/node_modules"
    assert service(tmp_path, modules, image="build: .").claims == {}
    assert service(tmp_path, modules).claims == {"/app/node_modules": "modules"}


def test_claim_is_read_only_where_the_volume_is(tmp_path: Path) -> None:
    volumes = ("data:/a:ro", "data:/b", "'more:/c:z,ro'", "{type: volume, source: long, target: /d, read_only: true}")
    pod = objects(service(tmp_path, *volumes, "odd:/e:rol"))["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert [(one["mountPath"], one.get("readOnly")) for one in container["volumeMounts"]] == [
        *(("/a", True), ("/b", None), ("/c", True), ("/d", True), ("/e", None))
    ]


def test_folder_of_a_volume_is_mounted_alone(tmp_path: Path) -> None:
    """Compose 2.24 has `subpath`; Kubernetes refuses one that leaves the volume."""
    volumes = (
        "{type: volume, source: data, target: /a, volume: {subpath: one/two/}}",
        "{type: volume, source: data, target: /b, read_only: true}",
        "{type: volume, source: other, target: /c, volume: {subpath: ../up}}",
    )
    app = service(tmp_path, *volumes)
    pod = objects(app)["Deployment"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["volumeMounts"] == [
        {"name": "data", "mountPath": "/a", "subPath": "one/two"},
        {"name": "data", "mountPath": "/b", "readOnly": True},
    ]
    assert app.left_out == ("volumes.other",)


@pytest.mark.parametrize("current", ["$PWD", "${PWD}"])
def test_paths_from_the_shells_folder_are_the_projects(tmp_path: Path, current: str) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/a.conf").write_text("a")
    app = service(tmp_path, f"'{current}/conf:/conf'", f"'{current}/data:/data'", "'$PWDS/x:/x'")
    assert [(one.place, one.files) for one in app.mounts] == [("/conf", {"a.conf": "a"})]
    assert (app.claims, app.left_out) == ({"/data": "data"}, ("volumes.$PWDS/x",))


DRIVEN = """\
services:
  db:
    image: x
    volumes: [bound:/conf:ro, empty:/data, {type: volume, source: far, target: /far}, nfs:/nfs, old:/old, own:/own]
volumes:
  bound: {driver: local, driver_opts: {type: none, o: "rw,bind", device: "${PWD}/conf"}}
  empty: {driver_opts: {type: none, o: bind, device: ./data}}
  far: {driver_opts: {type: none, o: bind, device: /usr}}
  nfs: {driver_opts: {type: nfs, o: "addr=10.0.0.1", device: ":/x"}}
  old: {external: true}
  own: {driver: rclone}
  idle: {external: true}
"""


def test_volumes_with_drivers_are_taken_or_named(tmp_path: Path) -> None:
    """A folder of the project that a volume is bound to is mounted; what is elsewhere is said to be lacking."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/a.conf").write_text("a")
    (tmp_path / "compose.yaml").write_text(DRIVEN)
    (app,), notes = load(tmp_path / "compose.yaml")
    assert [(one.place, one.files) for one in app.mounts] == [("/conf", {"a.conf": "a"})]
    assert app.claims == {"/data": "empty", "/far": "far", "/nfs": "nfs", "/old": "old", "/own": "own"}
    assert notes == [
        "the volume far begins empty: its driver_opts has no counterpart",
        "the volume nfs begins empty: its driver_opts has no counterpart",
        "the volume old begins empty, since it is external",
        "the volume own begins empty: its driver has no counterpart",
    ]
