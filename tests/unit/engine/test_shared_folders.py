"""What is said of a folder that the engine's machine does not have."""

from __future__ import annotations

from functools import partial
from pathlib import Path, PurePosixPath

import pytest

from sandbox.engine.endpoint import Endpoint
from sandbox.engine.shared_folders import advice, require_seen, tool
from sandbox.errors import SandboxError

HOW = partial(advice, Endpoint("unix:///home/ann/.colima/default/docker.sock", "the docker context colima"))


def test_a_folder_whose_file_is_missing_inside_is_named(tmp_path: Path) -> None:
    (tmp_path / "haproxy.cfg").write_text("", encoding="utf-8")
    with pytest.raises(SandboxError) as caught:
        require_seen(lambda _: None, {tmp_path: "/etc/haproxy"}, HOW)
    assert caught.value.id == "engine-folders"
    assert str(tmp_path) in caught.value.brief
    assert "/etc/haproxy/haproxy.cfg" in caught.value.details
    assert caught.value.fix.startswith("colima stop && colima start --mount ")


def test_a_folder_that_is_seen_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("", encoding="utf-8")
    asked: list[PurePosixPath] = []

    def read(path: PurePosixPath) -> bytes:
        asked.append(path)
        return b""

    require_seen(read, {tmp_path: "/inside", tmp_path / "a": "/file"}, HOW)
    assert asked == [PurePosixPath("/inside/a"), PurePosixPath("/file")]


def test_folders_without_a_file_are_not_asked_for(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    assert require_seen(lambda _: None, {tmp_path: "/a", tmp_path / "none": "/b"}, HOW) == set()


def test_an_empty_folder_is_proved_by_a_file_of_a_moment(tmp_path: Path) -> None:
    asked: list[PurePosixPath] = []

    def read(path: PurePosixPath) -> bytes | None:
        asked.append(path)
        assert (tmp_path / path.name).exists()
        return b"" if len(asked) == 1 else None

    require_seen(read, {tmp_path: "/a"}, HOW, make=True)
    with pytest.raises(SandboxError):
        require_seen(read, {tmp_path: "/a"}, HOW, make=True)
    assert len(set(asked)) == 2 and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "origin", "begins"),
    [
        ("unix:///Users/ann/.docker/run/docker.sock", "the socket of Docker Desktop", "in Docker Desktop: Settings"),
        ("unix:///home/ann/.lima/docker/sock/docker.sock", "DOCKER_HOST", "limactl stop && limactl edit --mount "),
        ("unix:///Users/ann/.rd/docker.sock", "the docker context rancher-desktop", "in Rancher Desktop: "),
        ("unix:///var/run/docker.sock", "the default socket", "let the engine's machine share "),
    ],
)
def test_the_fix_fits_the_tool_of_the_engine(url: str, origin: str, begins: str, isolated_home: Path) -> None:
    fix = advice(Endpoint(url, origin), isolated_home / ".local" / "state")
    assert fix.startswith(begins)
    assert str(isolated_home) in fix
    assert str(isolated_home / ".local") not in fix


@pytest.mark.parametrize(
    ("info", "begins"),
    [
        ({"DockerRootDir": "/var/snap/docker/common/var-lib-docker"}, "snap's Docker sees no hidden folder"),
        (
            {"OperatingSystem": "Docker Desktop", "KernelVersion": "6.10.14-linuxkit"},
            "in Docker Desktop: Settings, Reso",
        ),
        (
            {"OperatingSystem": "Docker Desktop", "KernelVersion": "6.6.87.2-microsoft-standard-WSL2"},
            "in Docker Desktop: Settings, Resources, WSL integration",
        ),
        ({"OperatingSystem": "Rancher Desktop WSL Distribution"}, "in Rancher Desktop: "),
        ({"OperatingSystem": "Alpine Linux v3.22", "Name": "lima-rancher-desktop"}, "in Rancher Desktop: "),
        ({"OperatingSystem": "OrbStack", "Name": "orbstack"}, "OrbStack shares macOS' folders"),
        ({"OperatingSystem": "Ubuntu 24.04.2 LTS", "Name": "colima-work"}, "colima stop && colima start --mount "),
        ({"OperatingSystem": "Ubuntu 24.04.2 LTS", "Name": "lima-docker"}, "limactl stop && limactl edit --mount "),
        # Of this machine itself, also in WSL, and with names that only look like a tool's.
        ({"DockerRootDir": "/var/lib/docker", "Name": "desktop-4f2k", "KernelVersion": "6.6-microsoft"}, "let the eng"),
        ({"Name": "climate", "DockerRootDir": "/var/snap", "OperatingSystem": None}, "let the engine's machine share"),
    ],
)
def test_tool_of_the_engine_is_told_by_its_own_answer(info: dict[str, str], begins: str, isolated_home: Path) -> None:
    fix = advice(Endpoint("unix:///var/run/docker.sock", "the default socket"), isolated_home / "code", tool(info))
    assert fix.startswith(begins) and "export XDG_STATE_HOME=" in fix
    assert ("$HOME/" in fix) == begins.startswith("snap")
