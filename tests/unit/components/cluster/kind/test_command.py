"""kind's command line, by a program that plays its part."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.components.cluster.kind.command import SLOW, Kind
from sandbox.errors import MissingTool
from sandbox.system.process import ToolFailed
from tests.support.programs import make_program


def install(programs: Path, script: str) -> Path:
    return make_program(programs / "kind", script)


def created(kind: Kind, folder: Path) -> list[str]:
    lines: list[str] = []
    kind.create("demo", image="i", config=folder / "c", folder=folder, on_line=lines.append)
    return lines


@pytest.mark.parametrize("said", ["kind v0.31.9 go1.26.1 linux/amd64", "kind (devel) go1.26.1 linux/amd64", "", "?"])
def test_kind_of_an_old_or_unknown_version_is_refused(programs: Path, said: str) -> None:
    program = install(programs, f"echo '{said}'")
    with pytest.raises(MissingTool) as caught:
        Kind.of(program, "sandbox").require()
    assert caught.value.brief.startswith("kind is too old")
    assert str(program) in caught.value.details
    assert "0.32.0" in caught.value.fix


def test_missing_kind_is_an_error_with_its_installation() -> None:
    with pytest.raises(MissingTool) as caught:
        Kind.of(None, "sandbox")
    assert "sandbox bundle build" in caught.value.fix


def test_stack_and_progress_of_a_failing_kind_are_left_out(programs: Path, tmp_path: Path) -> None:
    progress = "echo 'Creating cluster \"demo\" ...'; echo ' ✗ Starting'; echo 'Command Output: I1127 07:16:14.8 ok'"
    words = "for n in 1 2 3; do echo line $n; echo I1127 07:16:14.9 GET; done; echo; echo Stack Trace:; echo main.go"
    kind = Kind(install(programs, f"{progress}; {words}; exit 1"), "sandbox")
    with pytest.raises(ToolFailed) as caught:
        created(kind, tmp_path)
    command, *said = caught.value.details.splitlines()
    assert command.startswith("$ ") and said == ["line 1", "line 2", "line 3"]


@pytest.mark.fault(19)
def test_a_node_that_takes_long_to_start_is_given_another_try(programs: Path, tmp_path: Path) -> None:
    """A busy machine: systemd takes longer than kind's half minute → kind is asked a second time, and it is said"""
    slow = f"[ -e {tmp_path}/tried ] || {{ : >{tmp_path}/tried; echo ERROR: {SLOW} systemd; exit 1; }}"
    kind = Kind(install(programs, f'echo "$1"; [ "$1" = delete ] || {slow}'), "sandbox")
    again = "• The node's system takes long to start, so once more"
    assert created(kind, tmp_path) == ["create", f"ERROR: {SLOW} systemd", again, "create"]


def test_kind_s_balancer_is_the_image_that_the_sandbox_has(programs: Path, tmp_path: Path) -> None:
    make_program(programs / "docker", 'echo "$#: $*"')
    image = "docker.io/envoyproxy/envoy:v1.36.2"
    kind = Kind(install(programs, f"docker run -d {image} 'a  b'"), "sandbox", balancer="sandbox.dev/balancer:1")
    assert created(kind, tmp_path) == ["4: run -d sandbox.dev/balancer:1 a  b"]
    assert not list(tmp_path.glob(".kind-*"))


def test_kind_uses_our_network_and_its_last_lines_are_evidence(programs: Path, tmp_path: Path) -> None:
    program = install(programs, 'echo "$KIND_EXPERIMENTAL_DOCKER_NETWORK $*"; exit 1')
    kind = Kind(program, "sandbox")
    with pytest.raises(ToolFailed) as caught:
        created(kind, tmp_path)
    wanted = f"\nsandbox create cluster --retain --name demo --image i --config {tmp_path}/c --kubeconfig {tmp_path}/"
    assert wanted in caught.value.details
    with pytest.raises(ToolFailed, match="--name demo --kubeconfig"):
        kind.delete("demo")
    with pytest.raises(ToolFailed, match="--name demo --kubeconfig"):
        kind.kubeconfig("demo", tmp_path)
    script = 'echo "$CONTAINER_HOST $KIND_EXPERIMENTAL_PROVIDER $KIND_EXPERIMENTAL_PODMAN_NETWORK"'
    podman = Kind(install(programs, script), "sandbox.demo", podman="unix:///run/podman.sock")
    assert created(podman, tmp_path) == ["unix:///run/podman.sock podman sandbox.demo"]


def test_kubeconfig_export_leaves_no_files(programs: Path, tmp_path: Path) -> None:
    """kind merges and locks the kubeconfig that it is given, and a lock stays when it is killed."""
    kind = Kind(install(programs, 'echo "kind: Config" > "$6"; : > "$6.lock"'), "sandbox")
    folder = tmp_path / "folder"
    folder.mkdir()
    assert kind.kubeconfig("demo", folder) == b"kind: Config\n"
    assert list(folder.iterdir()) == []
