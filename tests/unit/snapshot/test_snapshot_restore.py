"""What a restore writes on the host: the certificates of the snapshot, and nothing that only pretends to be one."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import stat
import tarfile
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from unittest.mock import Mock

import pytest

from sandbox.engine import ContainerSpec, labelled
from sandbox.errors import SandboxError
from sandbox.names import Home
from sandbox.snapshot.snapshot_restore import NEW, READY, Restoring
from sandbox.snapshot.snapshot_save import CERTIFICATES, SPEC, _tar
from sandbox.snapshot.snapshot_store import MANIFEST, Manifest, Node, Part, Store
from sandbox.system import files
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


@pytest.mark.parametrize(("owner", "claimed"), [("theirs", True), ("ours", False), (None, False)])
def test_node_of_another_users_snapshot_becomes_this_users(
    restoring: Restoring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: str | None, claimed: bool
) -> None:
    ours, written = restoring.names.home.owner, dict[PurePosixPath, bytes]()
    monkeypatch.setattr(restoring.engine, "write_file", lambda _, path, data: written.update({path: data}))
    saved, content = tmp_path / "node.tar", io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        if owner:
            record = json.dumps({"nodes": {}, "owner": ours if owner == "ours" else owner}).encode()
            member = tarfile.TarInfo("kind/sandbox-complete")
            member.size = len(record)
            tar.addfile(member, io.BytesIO(record))
    saved.write_bytes(content.getvalue())
    restoring._claim("node", saved)
    expected = {labelled.COMPLETE: {"nodes": {}, "owner": ours}} if claimed else {}
    assert {path: json.loads(data) for path, data in written.items()} == expected


@pytest.fixture
def prepared(restoring: Restoring) -> Restoring:
    """A restore of a cluster of one node that was killed when everything was prepared."""
    node = Node(name=restoring.names.node, image="node:1", config={}, host={}, volumes={}, files="node.tar")
    manifest = Manifest(
        snapshot="one",
        sandbox="demo",
        made=datetime.now(UTC),
        release="0.1.0",
        kubernetes="v1.36.3",
        image="node:1",
        folder="/",
        nodes=(node,),
        registry=None,
        parts=(),
    )
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


@pytest.mark.parametrize("size", [0, 1], ids=["whole", "damaged"])
def test_damage_is_named_whatever_failed_because_of_it(
    prepared: Restoring, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    noted = prepared.store.restoring("demo")
    manifest = Manifest.model_validate_json((noted / MANIFEST).read_bytes())
    shutil.rmtree(noted)
    kept = prepared.store.place("demo", "one")
    files.make_private_dir(kept)
    (kept / "node.tar").write_bytes(b"")
    monkeypatch.setattr(prepared.engine, "image_id", lambda _: "sha256:1")
    monkeypatch.setattr(Restoring, "_prepare", Mock(side_effect=tarfile.ReadError("empty file")))
    part = Part(file="node.tar", bytes=size, sha256=hashlib.sha256(b"").hexdigest())
    expected = "is damaged" if size else "empty file"
    with pytest.raises((SandboxError, tarfile.ReadError), match=expected):
        prepared.restore(manifest.model_copy(update={"parts": (part,)}), lambda _: None)
    assert not noted.exists()


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
