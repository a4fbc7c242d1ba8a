"""What a devfile builds and deploys is taken; its containers for tools are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.init import devfile
from sandbox.init.detected import App, Told
from tests.support.project_folder import DEPLOYMENT, look, write

# In the manner of the samples of devfile.io.
DEVFILE = """\
schemaVersion: 2.2.0
metadata: {name: go}
variables: {IMAGE: acme/go-image, port: "8081"}
parent: {id: go}
components:
- name: build
  image:
    imageName: "{{IMAGE}}:latest"
    dockerfile: {uri: docker/Dockerfile, buildContext: ., args: [--build-arg, "PORT={{port}}", "--target=x"]}
- name: deploy
  kubernetes: {uri: deploy.yaml}
- name: remote
  kubernetes: {uri: "https://example.com/deploy.yaml"}
- name: inner
  openshift: {inlined: "kind: Route"}
- name: runtime
  container: {image: go-toolset, args: [tail, -f, /dev/null]}
"""
FILES = {"docker/Dockerfile": "FROM x\nEXPOSE 8081\n", "deploy.yaml": DEPLOYMENT}


def described(folder: Path, text: str = DEVFILE, **files: str) -> Told | None:
    write(folder, **{"devfile.yaml": text}, **{**FILES, **files})
    return devfile.load(folder)


def test_images_and_manifests_of_a_devfile_are_taken(tmp_path: Path) -> None:
    build = {"dockerfile": "docker/Dockerfile", "args": {"PORT": "8081"}}
    assert described(tmp_path) == Told(
        (App("go-image", ".", names=("acme/go-image:latest",), build=build),),
        ("deploy.yaml",),
        (
            "devfile.yaml: of the build of acme/go-image:latest these are left out: --target=x",
            "devfile.yaml: remote is left out: https://example.com/deploy.yaml is no manifest here",
            "devfile.yaml: inner is left out: the devfile itself has it",
            "devfile.yaml: left out, since they run the source code for odo or an editor: runtime",
            "devfile.yaml: its parent is left out, with what that builds and deploys",
        ),
    )
    found = look(tmp_path)
    assert (found.manifests, found.apps[0].port) == (("deploy.yaml",), 8081)
    assert not any("is not read" in note for note in found.notes)


def test_devfile_image_has_its_dockerfile_in_its_folder(tmp_path: Path) -> None:
    text = (
        "schemaVersion: 2.0.0\ncomponents:\n"
        "- {name: a, image: {imageName: api, dockerfile: {uri: api/Dockerfile, buildContext: ./api}}}\n"
        "- {name: b, image: {imageName: b, dockerfile: {uri: docker/Dockerfile, buildContext: api}}}\n"
        "- {name: c, image: {imageName: c, dockerfile: {uri: ../Dockerfile}}}\n"
        "- {name: d, image: {imageName: d, dockerfile: {git: {remotes: {origin: https://example.com/d}}}}}\n"
        "- {name: d, kubernetes: {uri: k8s}}\n"
    )
    found = described(tmp_path, text, **{"api/Dockerfile": "FROM x\n", "Dockerfile": "", "k8s/a.yaml": DEPLOYMENT})
    assert found is not None
    assert (found.apps, found.items) == ((App("api", "api", names=("api",)),), ("k8s/",))
    assert found.notes == (
        "devfile.yaml: the image b is left out: its Dockerfile, docker/Dockerfile, is not in the folder that is built, "
        "api",
        "devfile.yaml: the image c is left out: what it is built from is not in this folder",
        "devfile.yaml: the image d is left out: what it is built from is not in this folder",
    )


@pytest.mark.parametrize(
    "text",
    [
        "schemaVersion: 2.2.0\ncomponents: [{name: tools, container: {image: udi}}]\n",
        "schemaVersion: 1.0.0\ncomponents: [{type: kubernetes}]\n",
        "schemaVersion: 2.2.0\ncomponents: {a: 1}\n",
        "[]",
        "a: [",
    ],
)
def test_devfile_that_builds_and_deploys_nothing_is_unread(tmp_path: Path, text: str) -> None:
    assert described(tmp_path, text) is None
    assert any(note.startswith("devfile.yaml (odo) is not read") for note in look(tmp_path).notes)


def test_compose_file_goes_before_what_a_devfile_builds(tmp_path: Path) -> None:
    text = (
        "schemaVersion: 2.2.0\ncomponents: [{name: a, image: {imageName: a, dockerfile: {uri: docker/Dockerfile}}}]\n"
    )
    write(tmp_path, **{"devfile.yaml": text, **FILES}, compose_yaml="services: {web: {image: x}}")
    (tmp_path / "deploy.yaml").unlink()
    found = look(tmp_path)
    assert [one.name for one in found.apps] == ["web"]
    assert any(note.startswith("devfile.yaml (odo) is not read") for note in found.notes)
