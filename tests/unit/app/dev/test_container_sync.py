"""Files copied into containers, which here are folders in which the script is run by a shell."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from sandbox.app.dev import container_sync
from sandbox.app.dev.changed_files import Copied
from sandbox.app.dev.container_sync import Running, SyncFailed, copy, running
from sandbox.app.dev.dev_report import Container
from sandbox.components.workloads import restart
from sandbox.images.images_yaml import FromBuild, SyncRule
from sandbox.kube.api import Cluster, ClusterError
from sandbox.kube.container_exec import Executed
from sandbox.oci.reference import parse_target as parse
from tests.support.programs import make_program

TARGET = parse("team/web:dev")
PLACE = Container("shop", "web-1", "web")
CLUSTER = cast("Cluster", "never asked")


class Folder:
    """A container whose root is a folder; remembers what is run in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ran: list[Sequence[str]] = []
        self.status = 0
        self.programs: Path | None = None  # a folder with all that it has

    def execute(self, _: Cluster, *, argv: Sequence[str], stdin: bytes, **place: str) -> Executed:
        self.ran.append(argv)
        if argv[0] != "sh" or argv == restart.COMMAND:
            return Executed(self.status, b"", "no such thing" if self.status else "")
        moved = [word.replace("-C /", f"-C {self.root}") if word == container_sync.SCRIPT else word for word in argv]
        moved = [f"{self.root}{word}" if word.startswith("/") else word for word in moved]
        env = {"PATH": str(self.programs)} if self.programs else None
        done = subprocess.run(moved, input=stdin, capture_output=True, check=False, env=env)
        return Executed(done.returncode, done.stdout, done.stderr.decode())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    (tmp_path / "root").mkdir()
    folder = Folder(tmp_path / "root")
    monkeypatch.setattr(container_sync, "execute", folder.execute)
    return folder


def copied(files: dict[Path, str], *rules: SyncRule) -> Copied:
    return Copied(FromBuild(TARGET, Path("/p")), files, rules)


def into(*, restartable: bool = False) -> list[Running]:
    return [Running(PLACE, restartable)]


def test_files_and_folders_are_the_same_afterwards(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "src/deep").mkdir(parents=True)
    (tmp_path / "src/deep/a b.py").write_bytes(b"\0\xff")
    (tmp_path / "one").write_text("1", encoding="utf-8")
    (tmp_path / "src/secret.env").touch()  # of a folder only what is named
    names = ("src", "src/deep", "src/deep/a b.py")
    copy(copied({tmp_path / one: f"/app/{one}" for one in names} | {tmp_path / "one": "/etc/one"}), into(), CLUSTER)
    assert sorted(one.name for one in (folder.root / "app/src").iterdir()) == ["deep"]
    assert (folder.root / "app/src/deep/a b.py").read_bytes() == b"\0\xff"
    assert (folder.root / "etc/one").read_text(encoding="utf-8") == "1"


def test_busybox_without_links_copies_and_deletes_files_of_odd_names(folder: Folder, tmp_path: Path) -> None:
    folder.programs = tmp_path / "bin"
    folder.programs.mkdir()
    (folder.programs / "sh").symlink_to(shutil.which("sh") or "")
    make_program(folder.programs / "busybox", 'PATH=/usr/bin:/bin exec "$@"')
    names = ["a\nb", "ünï \udcff", "--", "-rf", "$(x)'\"", 'it\'s "a" $b *']
    files = {tmp_path / name: f"/app/{name}" for name in names}
    for file in files:
        file.touch()
    copy(copied(files), into(), CLUSTER)
    assert {file.name for file in (folder.root / "app").iterdir()} == set(names)
    for file in files:
        file.unlink()
    copy(copied(files), into(), CLUSTER)
    assert not list((folder.root / "app").iterdir())


def test_a_restart_is_asked_of_the_shell_before_the_program(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    rule = SyncRule(paths={"a": "/a"}, restart=True)
    copy(copied({tmp_path / "a": "/a"}, rule), into(restartable=True), CLUSTER)
    assert folder.ran[-1] == restart.COMMAND
    with pytest.raises(SyncFailed, match="cannot start its program again"):
        copy(copied({tmp_path / "a": "/a"}, rule), into(), CLUSTER)


def test_command_of_a_rule_runs_after_the_copy_and_its_error_is_reported(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    files = copied({tmp_path / "a": "/a"}, SyncRule(paths={"a": "/a"}, run=("reload", "/x")))
    copy(files, into(), CLUSTER)
    assert list(folder.ran[-1]) == ["reload", "/x"]
    folder.status = 3
    with pytest.raises(SyncFailed) as failed:
        copy(files, into(), CLUSTER)
    assert failed.value.brief == "reload failed in web-1 with status 3"
    assert failed.value.details == "no such thing"


@pytest.mark.fault(88)
def test_a_container_without_a_shell_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files for a container without a shell → an error; the image is built instead."""

    def refuse(*_: object, **__: object) -> Executed:
        raise ClusterError("sh cannot be run", details='exec: "sh": executable file not found')

    (tmp_path / "a").touch()
    monkeypatch.setattr(container_sync, "execute", refuse)
    with pytest.raises(SyncFailed) as failed:
        copy(copied({tmp_path / "a": "/a"}), into(), CLUSTER)
    assert "executable file not found" in failed.value.details


def pod(image: str, state: str = "running", **more: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "web-1", "namespace": "shop", **more},
        "spec": {"containers": [{"name": "web", "image": image}]},
        "status": {"containerStatuses": [{"name": "web", "state": {state: {}}}]},
    }


NAME = f"localhost:5001/team/web:dev@sha256:{'0' * 64}"


def test_only_running_containers_of_the_image_are_found() -> None:
    """While another one is about to run none is: that would begin without the copied files."""
    assert running([pod(NAME)], "localhost:5001", TARGET) == into()
    sidecar = pod(NAME)
    sidecar["spec"] = {"containers": [], "initContainers": [{"name": "web", "image": NAME, "restartPolicy": "Always"}]}
    sidecar["status"] = {"initContainerStatuses": sidecar["status"]["containerStatuses"]}
    ended = pod(NAME, "terminated")
    ended["status"]["phase"] = "Failed"
    assert running([sidecar, ended], "localhost:5001", TARGET) == into()
    for pods in (
        [pod(NAME), pod(NAME, "waiting")],
        [pod(NAME), pod(NAME, "terminated")],
        [pod(NAME, deletionTimestamp="2026-01-01T00:00:00Z")],
        [pod(NAME.replace("web:dev", "web:prod"))],
        [pod(NAME.replace("localhost:5001", "docker.io"))],
    ):
        assert running(pods, "localhost:5001", TARGET) == []
