"""What is found in folders as developers have them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandbox.errors import UsageError
from sandbox.init.detect import look
from sandbox.init.detected import App, Found

BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}]\n" for n in range(1, 20))
COMPOSE = """
services:
  Web_UI:
    build: {context: ./web}
    ports: ["127.0.0.1:80:3000/tcp"]
    environment: {MODE: dev, SECRET: "${TOKEN}", NOTHING: null}
    depends_on: [db]
  db:
    image: postgres:17
    expose: [5432]
    environment: ["POSTGRES_DB=shop", HOME]
  other:
    build: {context: ., dockerfile: Other}
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec: {template: {spec: {containers: [{name: api, image: "localhost:5001/shop/api:1"}]}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: api}
spec: {rules: [{host: api.shop.sandbox.localhost}]}
"""


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_an_empty_folder_has_nothing(tmp_path: Path) -> None:
    assert look(tmp_path) == Found()


def test_dockerfiles_are_found_here_and_below_but_not_among_tools(tmp_path: Path) -> None:
    write(
        tmp_path,
        Dockerfile="FROM x\nexpose 8080/tcp\n",
        My_App__Dockerfile="FROM x\n",
        node_modules__a__Dockerfile="FROM x\n",
    )
    assert look(tmp_path).apps == (App("app", ".", port=8080), App("my-app", "My_App"))


def test_a_compose_file_says_more_than_dockerfiles(tmp_path: Path) -> None:
    write(
        tmp_path,
        web__Dockerfile="FROM x\nEXPOSE 1\n",
        **{"compose.yaml": COMPOSE, "docker-compose.yml": "services: {}"},
    )
    web, db, other = look(tmp_path).apps
    assert web == App("web-ui", "web", port=3000, environment={"MODE": "dev"}, left_out=("depends_on",))
    assert db == App("db", image="postgres:17", port=5432, environment={"POSTGRES_DB": "shop"})
    assert other == App("other")


def test_a_service_without_ports_has_its_dockerfiles(tmp_path: Path) -> None:
    write(tmp_path, web__Dockerfile="EXPOSE 81", **{"compose.yml": "services: {web: {build: web, volumes: [a:/b]}}"})
    assert look(tmp_path).apps == (App("web", "web", port=81, left_out=("volumes",)),)


@pytest.mark.parametrize("text", ["services: [", "[]", "services: []", "\x00"])
def test_a_compose_file_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    write(tmp_path, **{"compose.yaml": text})
    with pytest.raises(UsageError, match=r"compose\.yaml"):
        look(tmp_path)


def test_manifests_are_the_largest_folders_that_hold_nothing_else(tmp_path: Path) -> None:
    write(
        tmp_path,
        deploy__k8s__api__api_yaml="",
        **{
            "deploy/k8s/api/api.yaml": DEPLOYMENT,
            "deploy/values.yaml": "a: 1",
            "top.yaml": DEPLOYMENT,
            "ci.yml": "on: push",
        },
    )
    found = look(tmp_path)
    assert found.manifests == ("deploy/k8s/", "top.yaml")
    assert found.hosts == ("api.shop.sandbox.localhost",)
    assert found.images == ("localhost:5001/shop/api:1",)


def test_charts_and_kustomizations_are_to_be_rendered(tmp_path: Path) -> None:
    write(
        tmp_path,
        **{
            "chart/Chart.yaml": "name: x",
            "chart/templates/a.yaml": "{{ x }}",
            "base/kustomization.yaml": "resources: [a.yaml]",
            "base/a.yaml": DEPLOYMENT,
        },
    )
    found = look(tmp_path)
    assert found.rendered == {"chart/": "helm template chart/", "base/": "kubectl kustomize base/"}
    assert found.manifests == ()


def test_objects_of_no_sensible_shape_do_not_stop_it(tmp_path: Path) -> None:
    write(tmp_path, **{"k8s/a.yaml": "{apiVersion: v1, kind: Ingress, metadata: {name: a}, spec: [1]}"})
    write(tmp_path, **{"k8s/b.yaml": "{apiVersion: v1, kind: Deployment, metadata: {name: a}, spec: [1]}"})
    assert look(tmp_path).manifests == ("k8s/",)


@pytest.mark.fault(43)
@pytest.mark.parametrize("kind", ["endless", "pipe", "elsewhere", "bomb"])
def test_harmful_files_of_a_folder_are_left_alone(tmp_path: Path, kind: str) -> None:
    """`init` in a folder with a link to an endless file, a pipe, an alias bomb → none is read."""
    folder = tmp_path / "project"
    (folder / "k8s").mkdir(parents=True)
    (tmp_path / "secret.yaml").write_text(DEPLOYMENT)
    for name in ("k8s/a.yaml", "b.yaml"):
        match kind:
            case "endless":
                (folder / name).symlink_to("/dev/zero")
            case "pipe":
                os.mkfifo(folder / name)
            case "elsewhere":
                (folder / name).symlink_to(tmp_path / "secret.yaml")
            case "bomb":
                (folder / name).write_text(BOMB)
    assert look(folder) == Found()


@pytest.mark.fault(43)
def test_compose_file_elsewhere_is_refused(tmp_path: Path) -> None:
    """A compose file, or the Dockerfile that it builds, is a link or a path out of the folder → not read."""
    folder = tmp_path / "project"
    folder.mkdir()
    (tmp_path / "compose.yaml").write_text("services: {a: {image: x}}")
    (folder / "compose.yaml").symlink_to("../compose.yaml")
    with pytest.raises(UsageError, match="a link that leaves"):
        look(folder)
    (folder / "compose.yaml").unlink()
    os.mkfifo(folder / "compose.yaml")
    with pytest.raises(UsageError, match="not a regular file"):
        look(folder)
    (folder / "compose.yaml").unlink()
    (folder / "compose.yaml").write_text("services: {a: {build: ..}}")
    (tmp_path / "Dockerfile").write_text("EXPOSE 4711")
    assert [app.port for app in look(folder).apps] == [None]


def test_apps_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for name in ("a b", "a-b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "Dockerfile").touch()
    assert sorted(app.name for app in look(tmp_path).apps) == ["a-b", "a-b-2"]


def test_name_that_is_no_text_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"a\xff")).mkdir()
    (tmp_path / os.fsdecode(b"a\xff") / "Dockerfile").touch()
    assert look(tmp_path) == Found()
