"""minikube's command line, by a program that plays its part with the words of the real one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox.components.cluster.minikube.command import Minikube, MinikubeFailed
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


@pytest.mark.parametrize("words", ["v1.37.0", "v1.38.0", "", "?"])
def test_old_version_is_refused(programs: Path, words: str) -> None:
    with pytest.raises(MissingTool) as caught:
        install(programs, version=f"echo '{words}'").require()
    assert caught.value.brief.startswith("minikube is too old")
    assert str(programs / "minikube") in caught.value.details
    assert "1.38.1" in caught.value.fix and caught.value.exit_code == 4


def test_missing_minikube_is_an_error_with_the_key_that_asks_for_it(programs: Path) -> None:
    with pytest.raises(MissingTool, match="minikube is not installed") as caught:
        Minikube.find("p")
    assert "provider: minikube" in caught.value.details


def test_only_steps_are_reported(programs: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    minikube = install(programs, start="echo 'W1124 klog'; echo '* Creating container'; echo", status=said(RUNNING))
    minikube.start(kubeconfig=tmp_path / "k", options=("--driver=docker",), say=lines.append)
    assert lines == ["Creating container"]
    first = (programs / "calls").read_text().splitlines()[0]
    wanted = "start --interactive=false --wait=all --embed-certs --driver=docker --profile p"
    assert first == f"{tmp_path}/k {wanted}"


def test_failure_has_minikube_s_last_lines_and_names_its_logs(programs: Path, tmp_path: Path) -> None:
    minikube = install(programs, start="echo 'X Exiting due to GUEST_PROVISION: no space left' >&2; exit 80")
    with pytest.raises(MinikubeFailed, match="minikube start failed") as caught:
        minikube.start(kubeconfig=tmp_path / "k", say=print)
    assert "GUEST_PROVISION: no space left" in caught.value.details
    assert caught.value.fix == "minikube logs --profile p"


def test_successful_start_is_verified(programs: Path, tmp_path: Path) -> None:
    minikube = install(programs, start="exit 0", status=said({**RUNNING, "APIServer": "Stopped"}) + "; exit 4")
    with pytest.raises(MinikubeFailed, match="and yet: APIServer Stopped"):
        minikube.start(kubeconfig=tmp_path / "k", say=print)


def test_status_of_an_absent_profile_is_read(programs: Path, tmp_path: Path) -> None:
    assert install(programs, status="echo null; exit 7").stopped_parts(tmp_path / "k") == {"Host": "Nonexistent"}
    several = install(programs, status=said([RUNNING, {"Name": "p-m02", "Host": "Stopped"}]))
    assert several.stopped_parts(tmp_path / "k") == {}
    halted = install(programs, status=said({**RUNNING, "Kubelet": "Stopped"}) + "; exit 2")
    assert halted.stopped_parts(tmp_path / "k") == {"Kubelet": "Stopped"}


def test_a_profile_is_found_by_its_name(programs: Path) -> None:
    config = {"Driver": "docker", "KubernetesConfig": {"ContainerRuntime": "docker", "KubernetesVersion": "v1.35.1"}}
    profiles = {"invalid": [], "valid": [{"Name": "other", "Config": {}}, {"Name": "p", "Config": config}]}
    assert install(programs, profile=said(profiles)).inspect() == ("docker", "docker")
    assert install(programs, profile=said({"invalid": [], "valid": []})).inspect() is None


# What minikube 1.38.1 prints.
TABLE = """  - ingress has the following images:
┌────────────┬───────────────────────────────────────────┬──────────────────┐
│ IMAGE NAME │               DEFAULT IMAGE               │ DEFAULT REGISTRY │
├────────────┼───────────────────────────────────────────┼──────────────────┤
│ Controller │ nginx/controller:v1.14.3@sha256:82917be97 │ registry.k8s.io  │
│ Certgen    │ certgen:v1.6.7                            │                  │
└────────────┴───────────────────────────────────────────┴──────────────────┘
"""


MINE = {"CustomAddonImages": {"Controller": "mine:1"}, "CustomAddonRegistries": None}
CHINA = {"KubernetesConfig": {"ImageRepository": "near.cn"}}


@pytest.mark.parametrize(
    ("config", "chosen", "places", "wanted"),
    [
        ({}, {}, {}, ("registry.k8s.io/nginx/controller:v1.14.3@sha256:82917be97", "certgen:v1.6.7")),
        ({**MINE, **CHINA}, {}, {"Certgen": "near"}, ("near.cn/mine:1", "near/certgen:v1.6.7")),
        (MINE, {"Controller": "mine:2"}, {"Controller": "near"}, ("near/mine:2", "certgen:v1.6.7")),
    ],
)
def test_addon_images_are_defaults_earlier_and_chosen_ones(
    programs: Path, config: dict[str, object], chosen: dict[str, str], places: dict[str, str], wanted: tuple[str, str]
) -> None:
    (programs / "table").write_text(TABLE)
    shown = f'while read -r line; do echo "$line"; done < {programs}/table'
    minikube = install(programs, addons=shown, profile=said({"valid": [{"Name": "p", "Config": config}]}))
    found = minikube.images("ingress", chosen, places)
    assert found == dict(zip(("Controller", "Certgen"), wanted, strict=True))


def test_addons_are_enabled_or_not(programs: Path) -> None:
    listed = {"ingress": {"Profile": "p", "Status": "enabled"}, "olm": {"Profile": "p", "Status": "disabled"}, "x": {}}
    assert install(programs, addons=said(listed)).addons() == {"ingress": True, "olm": False, "x": False}
    with pytest.raises(MinikubeFailed, match="prints no JSON"):
        install(programs, addons="echo oops").addons()
