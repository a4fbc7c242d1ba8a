"""What new nodes get besides the files of the snapshot."""

from __future__ import annotations

import io
import json
import socket
import tarfile
from pathlib import Path, PurePosixPath

import pytest

from sandbox.engine import labelled
from sandbox.engine.container_copy import Description
from sandbox.errors import SandboxError
from sandbox.names import Home
from sandbox.snapshot.new_nodes import NewNodes
from sandbox.snapshot.snapshot_store import Node
from sandbox.system import files
from tests.support import snapshots
from tests.support.fakes import FakeEngine
from tests.support.ports import free_port


@pytest.fixture
def new(tmp_path: Path) -> NewNodes:
    home = Home(tmp_path / "state", tmp_path / "cache", tmp_path / "kubeconfig")
    names, manifest = home.sandbox("demo"), snapshots.manifest()
    return NewNodes(engine=FakeEngine(), names=names, mark="mark", manifest=manifest, kept=tmp_path)


@pytest.mark.parametrize(("owner", "claimed"), [("theirs", True), ("ours", False), (None, False)])
def test_node_of_another_users_snapshot_becomes_this_users(
    new: NewNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: str | None, claimed: bool
) -> None:
    ours, written = new.names.home.owner, dict[PurePosixPath, bytes]()
    monkeypatch.setattr(new.engine, "write_file", lambda _, path, data: written.update({path: data}))
    saved, content = tmp_path / "node.tar", io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        if owner:
            record = json.dumps({"nodes": {}, "owner": ours if owner == "ours" else owner}).encode()
            member = tarfile.TarInfo("kind/sandbox-complete")
            member.size = len(record)
            tar.addfile(member, io.BytesIO(record))
    saved.write_bytes(content.getvalue())
    new._claim("node", saved)
    expected = {labelled.COMPLETE: {"nodes": {}, "owner": ours}} if claimed else {}
    assert {path: json.loads(data) for path, data in written.items()} == expected


@pytest.mark.parametrize(("shares", "seen"), [(False, True), (True, False)])
def test_nodes_files_that_the_engine_sees_are_fine(
    new: NewNodes, monkeypatch: pytest.MonkeyPatch, shares: bool, seen: bool
) -> None:
    new._require_seen("node", bound(new, monkeypatch, shares=shares, seen=seen))


def test_nodes_files_that_the_engine_does_not_see_are_refused(new: NewNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot of an engine that shares folders, restored on one that does not: kubelets would start no pod."""
    with pytest.raises(SandboxError, match="does not see the folder") as caught:
        new._require_seen("node", bound(new, monkeypatch, shares=False, seen=False))
    assert caught.value.id == "engine-folders"


def bound(new: NewNodes, monkeypatch: pytest.MonkeyPatch, *, shares: bool, seen: bool) -> Description:
    """A node that has a file of the user's folder, on an engine that shares the network or not, and sees it or not."""
    file = new.names.resolv_conf
    files.make_private_dir(file.parent)
    file.touch()
    monkeypatch.setattr(new.engine, "shares_network", lambda: shares)
    monkeypatch.setattr(new.engine, "read_file", lambda *_: b"" if seen else None)
    return Description(
        "node", {}, {"Binds": [f"{file}:/etc/kubernetes/pod-resolv.conf:ro", "/lib/modules:/lib/modules", "/odd"]}
    )


def test_port_of_a_node_that_is_taken_by_now_is_another(new: NewNodes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken, free = listener.getsockname()[1], free_port()
        binds = [{"HostIp": "127.0.0.1", "HostPort": str(port)} for port in (taken, free, "")]
        host = {"PortBindings": {"6443/tcp": binds, "80/tcp": []}}
        found = new._ports(Node(name="node", image="i", config={}, host=host, files="node.tar", volumes={}))
    moved, *others = (one["HostPort"] for one in found["6443/tcp"])
    assert moved != str(taken) and (others, found["80/tcp"]) == ([str(free), ""], [])
    assert {one["HostIp"] for one in found["6443/tcp"]} == {"127.0.0.1"}
