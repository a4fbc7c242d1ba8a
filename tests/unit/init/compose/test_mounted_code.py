"""The code that compose mounts, in images that have none."""

from __future__ import annotations

from pathlib import Path

from sandbox.init import project_files
from tests.support.project_folder import look, write

DEV = """\
FROM node AS dev
WORKDIR /app
COPY package.json .
FROM dev
COPY . .
"""
MANY = {f"web/{number}.js": "" for number in range(60)}  # more than a ConfigMap gets


def test_code_that_a_stage_lacks_is_copied_into_it(tmp_path: Path) -> None:
    service = "{build: {context: ., target: dev}, volumes: ['.:/app']}"
    write(tmp_path, Dockerfile=DEV, compose_yaml=f"services: {{web: {service}, worker: {service}}}")
    found = look(tmp_path)
    web, worker = found.apps
    assert web.build == {"sync": [{"paths": {".": "/app"}}], "dockerfile": "sandbox-web.Dockerfile"} == worker.build
    assert (
        web.recipe.startswith(DEV) and web.recipe.endswith('\nCOPY [".", "/app"]\n') and "\nFROM dev\n#" in web.recipe
    )
    said = "what compose mounts is copied into the images of web, worker: see sandbox-web.Dockerfile"
    assert found.notes == (said,)
    files = project_files.files("shop", found, registry=5001, https=None)
    assert files["sandbox-web.Dockerfile"] == web.recipe
    assert "sandbox-worker.Dockerfile" not in files


def test_stage_with_the_code_is_built_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, Dockerfile=DEV, compose_yaml="services: {web: {build: ., volumes: ['.:/app']}}")
    (web,) = look(tmp_path).apps
    assert (web.build, web.recipe) == ({"sync": [{"paths": {".": "/app"}}]}, "")


def test_image_gets_the_code_that_compose_mounts(tmp_path: Path) -> None:
    """docker/getting-started runs the code in an image of Node.js, as many projects do."""
    text = "services: {app: {image: 'node:22', command: node 1.js, working_dir: /app, volumes: ['./web:/app/']}}"
    write(tmp_path, **MANY, compose_yaml=text)
    found = look(tmp_path)
    (app,) = found.apps
    assert app.recipe.startswith("FROM node:22\n") and app.recipe.endswith('COPY ["web", "/app"]\n')
    assert (app.context, app.image, app.names, app.left_out) == (".", None, (), ())
    assert app.build == {"sync": [{"paths": {"web": "/app"}}], "dockerfile": "sandbox-app.Dockerfile"}
    assert found.notes == ("what compose mounts is copied into the images of app: see sandbox-app.Dockerfile",)


def test_data_of_a_database_is_in_no_image(tmp_path: Path) -> None:
    """Its files may be another user's, or be written while an image is built; what sets it up is copied."""
    volumes = "['./web:/var/lib/mysql', './dump.sql:/docker-entrypoint-initdb.d/a.sql']"
    text = f"services: {{db: {{image: 'mysql:8', volumes: {volumes}}}}}"
    write(tmp_path, **MANY, compose_yaml=text, **{"dump.sql": "x" * (1 << 20)})
    (db,) = look(tmp_path).apps
    assert db.left_out == ("volumes.web",)
    assert db.recipe.endswith('COPY ["dump.sql", "/docker-entrypoint-initdb.d/a.sql"]\n')
    assert (db.port, bool(db.check)) == (3306, True)


def test_code_from_outside_of_what_is_built_is_added_to_it(tmp_path: Path) -> None:
    """Laravel's Sail builds a folder of its own, and mounts the whole project."""
    build = "{context: docker, target: dev, args: {V: 8}}"
    service = f"{{build: {build}, image: sail, volumes: ['./web:/app', './docker/conf:/conf'], command: x}}"
    text = f"services: {{web: {service}, worker: {service}}}"
    files = {"docker/Dockerfile": "FROM x AS dev\nEXPOSE 80\n", "docker/conf/a": ""}
    write(tmp_path, **MANY, **files, compose_yaml=text)
    found = look(tmp_path)
    base, web, worker = found.apps
    assert (base.name, base.context, base.build) == (
        "docker-dev-8-base",
        "docker",
        {"target": "dev", "args": {"V": "8"}},
    )
    assert web.recipe.startswith("FROM docker-dev-8-base\n")
    assert web.recipe.endswith('COPY ["docker/conf", "/conf"]\nCOPY ["web", "/app"]\n')
    assert (web.context, web.left_out, web.more_ports, web.names) == (".", (), ((80, "tcp"),), ("sail",))
    rules = [{"paths": {"docker/conf": "/conf"}}, {"paths": {"web": "/app"}}]
    assert web.build == {"sync": rules, "dockerfile": "sandbox-web.Dockerfile"} == worker.build
    files = dict(project_files.files("shop", found, registry=5001, https=None))
    assert [one for one in files if one.startswith("k8s/")] == ["k8s/web.yaml", "k8s/worker.yaml"]
    assert files["images.yaml"].count("- {from: build") == 2 and "as: docker-dev-8-base:latest}" in files["images.yaml"]
