"""minikube's command line, by a program that plays its part with the words of the real one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox.components.cluster.minikube.command import Minikube, MinikubeFailed, Profile
from sandbox.errors import MissingTool
from tests.support.programs import make_program

RUNNING = {"Name": "p", "Host": "Running", "Kubelet": "Running", "APIServer": "Running", "Kubeconfig": "Configured"}


def install(programs: Path, **answers: str) -> Minikube:
    """A minikube whose first argument chooses what it does; what it was called with is in `calls`."""
    program = programs / "minikube"
    cases = "".join(f"{name}) {script} ;;\n" for name, script in answers.items())
    make_program(program, f'echo "${{KUBECONFIG-none}} $*" >> {programs}/calls\ncase $1 in\n{cases}esac')
    return Minikube.find("p")


def said(value: object) -> str:
    return f"echo '{json.dumps(value)}'"


def event(kind: str, **data: str) -> str:
    return said({"specversion": "1.0", "type": f"io.k8s.sigs.minikube.{kind}", "data": data})


@pytest.mark.parametrize("words", ["v1.37.0", "v1.38.0", "", "?"])
def test_old_version_is_refused(programs: Path, words: str) -> None:
    with pytest.raises(MissingTool) as caught:
        install(programs, version=f"echo '{words}'").require()
    assert caught.value.brief.startswith("minikube is too old")
    assert (str(programs / "minikube"), "1.38.1" in caught.value.fix) == (caught.value.details[9:], True)
    assert caught.value.exit_code == 4


def test_missing_minikube_is_an_error_with_the_key_that_asks_for_it(programs: Path) -> None:
    with pytest.raises(MissingTool, match="minikube is not installed") as caught:
        Minikube.find("p")
    assert "provider: minikube" in caught.value.details


def test_only_steps_are_reported(programs: Path, tmp_path: Path) -> None:
    step = event("step", currentstep="3", totalsteps="19", name="Creating Container", message="Creating container ...")
    start = f"echo 'W1124 klog'; {step}; {event('error', message='harmless')}; {event('info', message='x')}"
    lines: list[str] = []
    minikube = install(programs, start=start, status=said(RUNNING))
    minikube.start(kubeconfig=tmp_path / "k", options=("--driver=docker",), say=lines.append)
    assert lines == ["Creating Container"]
    first = (programs / "calls").read_text().splitlines()[0]
    wanted = "start --output=json --interactive=false --wait=all --embed-certs --driver=docker --profile p"
    assert first == f"{tmp_path}/k {wanted}"


def test_the_last_error_with_an_exit_code_is_the_reason(programs: Path, tmp_path: Path) -> None:
    before = event("error", exitcode="1", name="OTHER", message="not this one")
    warning = event("warning", message="low on memory")
    last = event("error", exitcode="80", name="GUEST_PROVISION", message="no space left", advice="prune")
    minikube = install(programs, start=f"{before}; {warning}; {last}; exit 80")
    with pytest.raises(MinikubeFailed, match="minikube start failed: GUEST_PROVISION") as caught:
        minikube.start(kubeconfig=tmp_path / "k", say=print)
    assert caught.value.details == "no space left\nlow on memory"
    assert caught.value.fix == "prune"
    with pytest.raises(MinikubeFailed, match="boom") as caught:
        install(programs, start="echo boom; exit 14").start(kubeconfig=tmp_path / "k", say=print)
    assert caught.value.fix == "minikube logs --profile p"


def test_successful_start_is_verified(programs: Path, tmp_path: Path) -> None:
    minikube = install(programs, start="exit 0", status=said({**RUNNING, "APIServer": "Stopped"}) + "; exit 4")
    with pytest.raises(MinikubeFailed, match="and yet: APIServer Stopped"):
        minikube.start(kubeconfig=tmp_path / "k", say=print)


def test_status_of_an_absent_profile_is_read(programs: Path, tmp_path: Path) -> None:
    assert install(programs, status="echo null; exit 7").status(tmp_path / "k") == {"Host": "Nonexistent"}
    several = install(programs, status=said([RUNNING, {"Name": "p-m02"}]))
    assert several.status(tmp_path / "k")["Host"] == "Running"
    halted = install(programs, status=said({**RUNNING, "Kubelet": "Stopped"}) + "; exit 2")
    assert halted.stopped_parts(tmp_path / "k") == {"Kubelet": "Stopped"}


def test_a_profile_is_found_by_its_name(programs: Path) -> None:
    config = {"Driver": "docker", "KubernetesConfig": {"ContainerRuntime": "docker", "KubernetesVersion": "v1.35.1"}}
    profiles = {"invalid": [], "valid": [{"Name": "other", "Config": {}}, {"Name": "p", "Config": config}]}
    assert install(programs, profile=said(profiles)).inspect() == Profile("docker", "docker")
    assert install(programs, profile=said({"invalid": [], "valid": []})).inspect() is None


def test_addons_are_enabled_or_not(programs: Path) -> None:
    listed = {"ingress": {"Profile": "p", "Status": "enabled"}, "olm": {"Profile": "p", "Status": "disabled"}, "x": {}}
    assert install(programs, addons=said(listed)).addons() == {"ingress": True, "olm": False, "x": False}
    with pytest.raises(MinikubeFailed, match="prints no JSON"):
        install(programs, addons="echo oops").addons()
