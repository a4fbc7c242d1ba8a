"""What a restore writes on the host: the certificates of the snapshot, and nothing that only pretends to be one."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from sandbox.components.workloads import charts_step
from sandbox.config.schema import ResolvedSpec
from sandbox.engine import ContainerSpec, container_copy
from sandbox.errors import SandboxError
from sandbox.names import Home
from sandbox.plan import saved_spec
from sandbox.snapshot.new_nodes import NEW, READY
from sandbox.snapshot.snapshot_restore import Restoring
from sandbox.snapshot.snapshot_save import CERTIFICATES, SPEC, _tar
from sandbox.snapshot.snapshot_store import MANIFEST, Manifest, Node, Store, part
from sandbox.snapshot.volume_archive import VolumeArchive
from sandbox.system import files
from tests.support import snapshots
from tests.support.fakes import FakeEngine


@pytest.fixture
def restoring(tmp_path: Path) -> Restoring:
    home = Home(tmp_path / "state", tmp_path / "cache", tmp_path / "kubeconfig")
    store = Store(home.snapshots)
    files.make_private_dir(store.restoring("demo"))
    return Restoring(engine=FakeEngine(), names=home.sandbox("demo"), store=store, mark="mark")


def test_the_certificates_come_back_as_they_were_saved(restoring: Restoring, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    for name in ("root.crt", "root.key", "leaves/domain.crt", "leaves/domain.key"):
        files.make_private_dir((keys / name).parent)
        (keys / name).write_text(name)
    (tmp_path / CERTIFICATES).write_bytes(_tar(keys))
    restoring._certificates(tmp_path / CERTIFICATES)
    folder = restoring._noted / "certificates"
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    assert {name: path.read_text() for name, path in found.items()} == {name: name for name in found}
    assert len(found) == 4
    modes = {stat.S_IMODE(path.stat().st_mode) for path in found.values() if path.suffix == ".key"}
    assert modes == {0o600}
    assert stat.S_IMODE((folder / "leaves").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../root.crt", tarfile.REGTYPE),
        ("/root.crt", tarfile.REGTYPE),
        ("leaves/../../root.crt", tarfile.REGTYPE),
        (".lock", tarfile.REGTYPE),
        ("root.crt", tarfile.SYMTYPE),
        ("root.crt", tarfile.LNKTYPE),
        ("root.crt", tarfile.FIFOTYPE),
        ("root.crt", tarfile.CHRTYPE),
    ],
)
@pytest.mark.fault(46)
def test_non_certificate_is_refused(restoring: Restoring, tmp_path: Path, name: str, kind: bytes) -> None:
    """A snapshot's certificates were exchanged for links, devices or paths upward → an error, nothing written."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member)
    (tmp_path / CERTIFICATES).write_bytes(content.getvalue())
    with pytest.raises(SandboxError) as caught:
        restoring._certificates(tmp_path / CERTIFICATES)
    assert caught.value.id == "snapshot-damaged" and name in caught.value.details
    assert list((restoring._noted / "certificates").iterdir()) == []


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("charts", [(), ({"chart": "/charts/web"},)])
def test_releases_are_known_as_the_snapshot_has_them(restoring: Restoring, charts: Any, *, before: bool) -> None:
    """Charts came or went since the snapshot → the next `up` uninstalls what the spec no longer names."""
    names = restoring.names
    if before:
        charts_step.note(names)
    saved_spec.save(names, ResolvedSpec.model_validate({"name": "demo", "apply": charts}))
    restoring._note_charts()
    assert names.charts.exists() is bool(charts)


@pytest.fixture
def prepared(restoring: Restoring) -> Restoring:
    """A restore of a cluster of one node that was killed when everything was prepared."""
    node = Node(name=restoring.names.node, image="node:1", config={}, host={}, volumes={}, files="node.tar")
    manifest = snapshots.manifest(node)
    noted = restoring.store.restoring("demo")
    (noted / MANIFEST).write_text(manifest.model_dump_json())
    for name in (SPEC, READY):
        (noted / name).write_text("")
    return restoring


def test_nodes_that_the_snapshot_lacks_are_removed(prepared: Restoring) -> None:
    engine, names = prepared.engine, prepared.names
    assert isinstance(engine, FakeEngine)
    engine.images["node:1"] = "sha256:1"
    engine.create_network(names.network, names.labels)
    worker = f"{names.cluster}-worker"
    marked = (names.node, worker, f"{names.node}{NEW}")
    for name in (*marked, "other"):
        labels = {"mark": ""} if name in marked else {}
        engine.run(ContainerSpec(name=name, image="node:1", command=("x",), labels=labels, network=names.network))
    prepared.recover()
    assert engine.boxes.keys() == {names.node, "other"} and not prepared.store.restoring("demo").exists()


@pytest.mark.parametrize("first", [MANIFEST, SPEC])
def test_kill_while_a_restore_cleans_up_is_recovered(
    prepared: Restoring, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    noted = prepared.store.restoring("demo")

    def killed(folder: Path, **_: object) -> None:
        if folder == noted:
            (folder / first).unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "rmtree", killed)
        prepared.recover()
    prepared.recover()
    assert not noted.exists()


@pytest.fixture
def kept(prepared: Restoring, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A whole snapshot of one node, and nothing else; the engine has its image and makes every container."""
    noted = prepared.store.restoring("demo")
    manifest = Manifest.model_validate_json((noted / MANIFEST).read_bytes())
    shutil.rmtree(noted)
    folder = prepared.store.place("demo", "one")
    files.make_private_dir(folder)
    for name in ("node.tar", CERTIFICATES):
        tarfile.open(folder / name, "w").close()
    (folder / SPEC).write_text("{}")
    parts = tuple(part(path) for path in sorted(folder.iterdir()))
    (folder / MANIFEST).write_text(manifest.model_copy(update={"parts": parts}).model_dump_json())
    monkeypatch.setattr(prepared.engine, "image_id", lambda _: "sha256:1")
    monkeypatch.setattr(prepared.engine, "make", lambda *_: None)
    monkeypatch.setattr(container_copy, "write", lambda engine, name, tar: tar.read_bytes())
    monkeypatch.setattr(container_copy, "volumes", lambda *_: {})
    monkeypatch.setattr(VolumeArchive, "unpack", lambda *_, **__: None)
    return folder


def restore(restoring: Restoring) -> None:
    restoring.restore(restoring.store.find("demo", "one"), lambda _: None)


def changed(kept: Path, **values: object) -> None:
    content = json.loads((kept / MANIFEST).read_text())
    (kept / MANIFEST).write_text(json.dumps({**content, **values}))


def test_snapshot_that_is_whole_is_restored(prepared: Restoring, kept: Path) -> None:
    restore(prepared)
    assert prepared.names.spec.read_text() == "{}"


@pytest.mark.parametrize("damaged", [False, True], ids=["whole", "damaged"])
def test_damage_is_named_whatever_failed_because_of_it(
    prepared: Restoring, kept: Path, monkeypatch: pytest.MonkeyPatch, *, damaged: bool
) -> None:
    if damaged:
        (kept / "node.tar").write_bytes(b"x" * (kept / "node.tar").stat().st_size)
    monkeypatch.setattr(Restoring, "_prepare", Mock(side_effect=OSError("the disk")))
    with pytest.raises((SandboxError, OSError), match="is damaged" if damaged else "the disk"):
        restore(prepared)
    assert not prepared.store.restoring("demo").exists()


def odd_file(kept: Path) -> None:
    (kept / "node.tar").unlink()
    os.mkfifo(kept / "node.tar")


def odd_manifest(kept: Path) -> None:
    (kept / MANIFEST).unlink()
    os.mkfifo(kept / MANIFEST)


def not_listed(kept: Path) -> None:
    (kept / SPEC).unlink()
    changed(kept, parts=[json.loads(part(kept / name).model_dump_json()) for name in ("node.tar", CERTIFICATES)])


def no_archive(kept: Path) -> None:
    (kept / CERTIFICATES).write_bytes(b"x" * 1024)
    changed(kept, parts=[json.loads(part(kept / name).model_dump_json()) for name in ("node.tar", CERTIFICATES, SPEC)])


def odd_ports(kept: Path) -> None:
    node = json.loads((kept / MANIFEST).read_text())["nodes"][0]
    changed(kept, nodes=[{**node, "host": {"PortBindings": {"6443/tcp": [{"HostIp": 1}]}}}])


def elsewhere(kept: Path) -> None:
    node = json.loads((kept / MANIFEST).read_text())["nodes"][0]
    changed(kept, nodes=[{**node, "files": "../node.tar"}])


@pytest.mark.fault(46)
@pytest.mark.parametrize(
    "harm",
    [
        odd_file,
        not_listed,
        no_archive,
        odd_ports,
        elsewhere,
        lambda kept: changed(kept, sandbox="other"),
        lambda kept: changed(kept, snapshot="other"),
        lambda kept: changed(kept, parts=[{"file": "node.tar", "bytes": 10**400, "sha256": ""}]),
        lambda kept: changed(kept, format=2),
        lambda kept: (kept / MANIFEST).unlink(),
        lambda kept: (kept / MANIFEST).write_text("[" * 100_000),
        odd_manifest,
    ],
)
def test_snapshot_that_was_tampered_with_is_refused(
    prepared: Restoring, kept: Path, harm: Callable[[Path], object]
) -> None:
    """Pipes, paths upward, another sandbox's manifest, odd archives in a snapshot → refused; nothing half restored."""
    harm(kept)
    with pytest.raises(SandboxError) as caught:
        restore(prepared)
    assert caught.value.id == "snapshot-damaged"
    assert not prepared.store.restoring("demo").exists() and not prepared.names.spec.exists()


def test_manifest_that_is_refused_shows_no_secret(prepared: Restoring, kept: Path) -> None:
    node = json.loads((kept / MANIFEST).read_text())["nodes"][0]
    changed(kept, nodes=[{**node, "config": ["HTTP_PROXY=http://me:hunter2@proxy"]}])
    with pytest.raises(SandboxError) as caught:
        restore(prepared)
    assert "nodes.0.config" in caught.value.details and "hunter2" not in caught.value.details


def test_prepared_restore_without_its_manifest_is_kept(prepared: Restoring) -> None:
    noted = prepared.store.restoring("demo")
    (noted / MANIFEST).write_bytes(b"")
    with pytest.raises(SandboxError, match="cannot be completed"):
        prepared.recover()
    assert (noted / READY).exists()


@pytest.mark.security(22)
def test_containers_of_another_owner_are_left_alone(restoring: Restoring, tmp_path: Path) -> None:
    """Containers of the sandbox's names that are another user's → kept; a restore that was killed is refused."""
    engine, names = restoring.engine, restoring.names
    assert isinstance(engine, FakeEngine)
    engine.images["busybox:1"] = "sha256:1"
    theirs = Home(tmp_path / "theirs", tmp_path, tmp_path).sandbox("demo")
    engine.create_network(theirs.network, theirs.labels)
    for name in (names.copier, names.registry):
        engine.run(
            ContainerSpec(name=name, image="busybox:1", command=("x",), labels=theirs.labels, network=theirs.network)
        )
    with pytest.raises(SandboxError) as caught:
        restoring.recover()
    assert caught.value.id == "name-taken" and engine.boxes.keys() == {names.copier, names.registry}
