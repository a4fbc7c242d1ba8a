"""What a restore writes on the host, what it removes, and what it refuses."""

from __future__ import annotations

import io
import json
import shutil
import socket
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sandbox.app.running.snapshots import save
from sandbox.components.workloads import charts_step
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.engine import ContainerSpec, container_copy
from sandbox.errors import SandboxError, UsageError
from sandbox.names import Home, Names
from sandbox.plan import saved_spec
from sandbox.snapshot.snapshot_restore import NEW, READY, Restoring, _unpack
from sandbox.snapshot.snapshot_save import CERTIFICATES, SPEC, _tar
from sandbox.snapshot.snapshot_store import MANIFEST, Manifest, Node, Store, part
from sandbox.snapshot.volume_archive import VolumeArchive
from sandbox.system import files
from tests.support import snapshots
from tests.support.fakes import FakeEngine
from tests.support.ports import free_port


@pytest.fixture
def restoring(names: Names) -> Restoring:
    store = Store(names.home.snapshots)
    files.make_private_dir(store.restoring("demo"))
    return Restoring(engine=FakeEngine(), names=names, store=store, mark="mark")


def test_certificates_come_back_as_they_were_saved(tmp_path: Path) -> None:
    keys, restored = tmp_path / "keys", tmp_path / "restored"
    for name in ("root.crt", "root.key", "leaves/domain.crt", "leaves/domain.key"):
        files.make_private_dir((keys / name).parent)
        (keys / name).write_text(name)
    (tmp_path / CERTIFICATES).write_bytes(_tar(keys))
    _unpack(tmp_path / CERTIFICATES, restored)
    found = {str(path.relative_to(restored)): path for path in restored.rglob("*") if path.is_file()}
    assert {name: path.read_text() for name, path in found.items()} == {name: name for name in found}
    modes = {path.suffix: stat.S_IMODE(path.stat().st_mode) for path in found.values()}
    assert len(found) == 4 and modes == {".key": 0o600, ".crt": 0o644}
    assert stat.S_IMODE((restored / "leaves").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../root.crt", tarfile.REGTYPE),
        ("/root.crt", tarfile.REGTYPE),
        ("leaves/../../root.crt", tarfile.REGTYPE),
        (".lock", tarfile.REGTYPE),
        ("root.crt", tarfile.SYMTYPE),
        ("root.crt", tarfile.FIFOTYPE),
    ],
)
@pytest.mark.fault(46)
def test_entry_that_is_no_certificate_is_not_written(tmp_path: Path, name: str, kind: bytes) -> None:
    """A snapshot's certificates were exchanged for links, devices or paths upward → nothing of that is written."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member)
    (tmp_path / CERTIFICATES).write_bytes(content.getvalue())
    _unpack(tmp_path / CERTIFICATES, tmp_path / "restored")
    assert list((tmp_path / "restored").iterdir()) == [] and not (tmp_path / "root.crt").exists()


def test_port_of_a_node_that_another_program_has_is_replaced(restoring: Restoring) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken, free = listener.getsockname()[1], free_port()
        binds = [{"HostIp": "127.0.0.1", "HostPort": str(port)} for port in (taken, free, "")]
        host = {"PortBindings": {"6443/tcp": binds, "80/tcp": []}}
        ports = restoring._ports(Node(name="node", image="i", config={}, host=host, files="node.tar", volumes={}))
    moved, *others = (bind["HostPort"] for bind in ports["6443/tcp"])
    assert moved != str(taken) and (others, ports["80/tcp"]) == ([str(free), ""], [])


@pytest.fixture
def prepared(restoring: Restoring) -> Restoring:
    """A restore of a cluster of one node that was killed when everything was prepared."""
    node = Node(name=restoring.names.node, image="node:1", config={}, host={"Binds": []}, volumes={}, files="node.tar")
    noted = restoring.store.restoring("demo")
    (noted / MANIFEST).write_text(snapshots.manifest(node).model_dump_json())
    for name in (SPEC, READY):
        (noted / name).write_text("")
    return restoring


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("charts", [(), ({"chart": "/charts/web"},)])
def test_releases_are_known_as_the_snapshot_has_them(prepared: Restoring, charts: Any, *, before: bool) -> None:
    """Charts came or went since the snapshot → the next `up` uninstalls what the spec no longer names."""
    names = prepared.names
    if before:
        charts_step.note(names)
    saved_spec.save(names, ResolvedSpec.model_validate({"name": "demo", "apply": charts}))
    (prepared.store.restoring("demo") / SPEC).write_bytes(names.spec.read_bytes())
    prepared.recover()
    assert names.charts.exists() is bool(charts)


@pytest.mark.parametrize("ready", [True, False])
def test_killed_restore_is_completed_if_it_was_prepared_else_undone(prepared: Restoring, ready: bool) -> None:
    engine, names = prepared.engine, prepared.names
    assert isinstance(engine, FakeEngine)
    engine.images["node:1"] = "sha256:1"
    engine.create_network(names.network, names.labels)
    marked = (names.node, f"{names.cluster}-worker", f"{names.node}{NEW}")
    for name in (*marked, "other"):
        labels = {"mark": ""} if name in marked else {}
        engine.run(ContainerSpec(name=name, image="node:1", command=("x",), labels=labels, network=names.network))
    if not ready:
        (prepared.store.restoring("demo") / READY).unlink()
    prepared.recover()
    worker = set() if ready else {f"{names.cluster}-worker"}  # which the snapshot lacks
    assert engine.boxes.keys() == {names.node, "other"} | worker
    assert not prepared.store.restoring("demo").exists()


@pytest.mark.parametrize("first", [MANIFEST, SPEC])
def test_kill_while_a_restore_cleans_up_is_recovered(
    prepared: Restoring, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    noted = prepared.store.restoring("demo")

    def killed(folder: Path, **_: object) -> None:
        if folder == noted:
            (folder / first).unlink(missing_ok=True)
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "rmtree", killed)
        prepared.recover()
    prepared.recover()
    assert not noted.exists()


@pytest.fixture
def saved(prepared: Restoring, monkeypatch: pytest.MonkeyPatch) -> Path:
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


def changed(saved: Path, **values: object) -> None:
    content = json.loads((saved / MANIFEST).read_text())
    (saved / MANIFEST).write_text(json.dumps({**content, **values}))


def test_failed_preparation_leaves_nothing(prepared: Restoring, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("the disk")

    monkeypatch.setattr(container_copy, "write", fail)
    with pytest.raises(OSError, match="the disk"):
        restore(prepared)
    assert not prepared.store.restoring("demo").exists() and not prepared.names.spec.exists()
    monkeypatch.setattr(container_copy, "write", lambda engine, name, tar: tar.read_bytes())
    restore(prepared)
    assert prepared.names.spec.read_text() == "{}"


def outside(saved: Path) -> None:
    node = json.loads((saved / MANIFEST).read_text())["nodes"][0]
    changed(saved, nodes=[{**node, "files": "../node.tar"}])


@pytest.mark.fault(46)
@pytest.mark.parametrize(
    "harm",
    [
        outside,
        lambda saved: (saved / "node.tar").unlink(),
        lambda saved: (saved / "node.tar").write_bytes(b"x" * (saved / "node.tar").stat().st_size),
        lambda saved: changed(saved, sandbox="other"),
        lambda saved: changed(saved, format=2),
        lambda saved: changed(saved, image={"HTTP_PROXY": "http://me:hunter2@proxy"}),
        lambda saved: (saved / MANIFEST).unlink(),
    ],
)
def test_damaged_snapshot_is_refused(prepared: Restoring, saved: Path, harm: Callable[[Path], object]) -> None:
    """Changed files, paths upward, another sandbox's manifest in a snapshot → refused; nothing half restored."""
    harm(saved)
    with pytest.raises(SandboxError) as caught:
        restore(prepared)
    assert caught.value.id == "snapshot-damaged" and "hunter2" not in caught.value.details
    assert not prepared.store.restoring("demo").exists() and not prepared.names.spec.exists()


@pytest.mark.security(22)
def test_containers_of_another_owner_are_left_alone(restoring: Restoring, tmp_path: Path) -> None:
    """Containers of the sandbox's names that are another user's → kept; a restore that was killed is refused."""
    engine, names = restoring.engine, restoring.names
    assert isinstance(engine, FakeEngine)
    engine.images["busybox:1"] = "sha256:1"
    theirs = Home(tmp_path / "theirs", tmp_path, tmp_path).sandbox("demo")
    engine.create_network(theirs.network, theirs.labels)
    for name in (names.copier, names.registry):
        spec = ContainerSpec(name=name, image="busybox:1", command=("x",), labels=theirs.labels, network=theirs.network)
        engine.run(spec)
    with pytest.raises(SandboxError) as caught:
        restoring.recover()
    assert caught.value.id == "name-taken" and engine.boxes.keys() == {names.copier, names.registry}


def test_minikube_cluster_cannot_be_saved_and_is_told_to_stop() -> None:
    spec = Spec.model_validate({"name": "demo", "cluster": {"provider": "minikube"}})
    with pytest.raises(UsageError, match="snapshot save works with clusters of kind, not of minikube") as caught:
        save(cast("Any", SimpleNamespace(spec=spec)), None)
    assert caught.value.fix == "sandbox stop, which keeps the data"
