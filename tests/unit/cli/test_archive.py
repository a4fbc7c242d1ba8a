"""`sandbox doctor archive` on a machine without an engine, with a secret in every place where one may be."""

from __future__ import annotations

import base64
import json
import stat
import tarfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sandbox.app import context
from sandbox.components.certificates.keystore import Keystore
from sandbox.system import files
from tests.support.api_server import ApiServer, kubeconfig
from tests.unit.cli.test_main import run

CANARY = "canary-9b1d77"
ACCOUNT = base64.b64encode(f"me:{CANARY}".encode()).decode()
SPEC = f"name: demo\nnetwork: {{proxy: {{https: 'http://me:{CANARY}@proxy.example:3128'}}}}\n"


@pytest.fixture
def folder(tmp_path: Path, isolated_home: Path, server: ApiServer) -> Path:
    """A project whose sandbox left files, has a cluster that answers, and an engine that does not."""
    names = context.home().sandbox("demo")
    Keystore(names.keys).authority(["demo.sandbox.localhost"], now=datetime.now(UTC))
    files.make_private_dir(names.folder)
    kubeconfig(names.kubeconfig, server.server_address[1])
    docker = isolated_home / ".docker" / "config.json"
    docker.parent.mkdir()
    docker.write_text(json.dumps({"auths": {"r.example": {"auth": ACCOUNT}}}))
    key = next(names.keys.rglob("*.key")).read_text()
    (names.folder / "keeper.log").write_text(f"{ACCOUNT}, then {key.splitlines()[1]} and\n{key}")
    server.objects["/api/v1/secrets/a"] = {"metadata": {"name": "a"}, "data": {"x": "Y2FuYXJ5LTliMWQ3Nw=="}}
    log = {"metadata": {"name": f"event about {CANARY} Y2FuYXJ5LTliMWQ3Nw=="}}
    server.kinds["/api/v1"]["Event"] = ("events", True)
    server.objects["/api/v1/events/a"] = log
    (tmp_path / "sandbox.yaml").write_text(SPEC)
    return tmp_path


def texts(path: Path) -> Mapping[str, str]:
    with tarfile.open(path) as tar:
        read = {one.name.partition("/")[2]: tar.extractfile(one) for one in tar.getmembers()}
        return {name: file.read().decode() for name, file in read.items() if file}


@pytest.mark.security(1, 6)
def test_an_archive_tells_everything_but_secrets(folder: Path) -> None:
    """Keys, passwords and Secrets repeated in logs, events and settings → none of them in the support archive."""
    key = next(context.home().sandbox("demo").keys.rglob("*.key")).read_text().splitlines()[1]
    found = run("doctor", "archive", cwd=folder)
    assert found.code == 0, found.stderr
    (path,) = folder.glob("sandbox-demo-*.tar.gz")
    assert found.stdout == f"{path.name}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    inside = texts(path)
    assert {"logs/sandbox.log", "spec.json", "versions.txt", "doctor.json", "objects/Event.json"} <= set(inside)
    assert "event about ***" in inside["objects/Event.json"]
    assert "engine.reachable" in inside["doctor.json"]
    everything = "\n".join(inside.values())
    assert "proxy.example" in everything
    for secret in (CANARY, ACCOUNT, "PRIVATE KEY", key, "Y2FuYXJ5"):
        assert secret not in everything


def test_archive_without_an_engine_replaces_no_file(tmp_path: Path) -> None:
    assert run("doctor", "archive", "--out", "mine.tar.gz", cwd=tmp_path).code == 0
    before = (tmp_path / "mine.tar.gz").read_bytes()
    assert "no Docker Engine answers" in texts(tmp_path / "mine.tar.gz")["engine.json"]
    found = run("doctor", "archive", "--out", "mine.tar.gz", cwd=tmp_path)
    assert found.code == 2 and "exists already" in found.stderr and "with --out" in found.stderr
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("mine.tar.gz", before)]
