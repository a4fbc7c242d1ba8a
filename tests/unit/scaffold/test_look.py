"""What is found in folders as developers have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.errors import UsageError
from sandbox.scaffold.found import App, Found
from sandbox.scaffold.look import look

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
