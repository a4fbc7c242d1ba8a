"""A compose project: its files, its names, and what its services say of each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.errors import UsageError
from sandbox.init import compose
from tests.support.project_folder import project, services, write


@pytest.mark.parametrize(
    ("files", "images"),
    [
        ({"compose.yaml": "a", "docker-compose.yml": "b"}, "a"),
        ({"docker-compose.yml": "b", "docker-compose.override.yml": "c"}, "c"),
        ({"compose.yaml": "a", ".env": "COMPOSE_FILE=x/b.yaml:c.yaml", "x/b.yaml": "b", "c.yaml": "c"}, "c"),
    ],
)
def test_files_are_those_of_compose(tmp_path: Path, files: dict[str, str], images: str) -> None:
    texts = {name: text if "=" in text else f"services: {{web: {{image: {text}}}}}" for name, text in files.items()}
    (app,) = project(write(tmp_path, texts)).apps
    assert app.image == images


def test_file_that_is_a_link_elsewhere_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"other.yaml": "services: {}", "root/a": ""})
    (tmp_path / "root/compose.yaml").symlink_to(tmp_path / "other.yaml")
    with pytest.raises(UsageError, match="is a link that leaves"):
        compose.load(tmp_path / "root")


@pytest.mark.parametrize(("env", "name"), [("", "shop"), ("COMPOSE_PROJECT_NAME=other", "other"), ("V=2", "shop")])
def test_name_is_that_of_env_or_the_file(tmp_path: Path, env: str, name: str) -> None:
    write(tmp_path, {".env": env, "compose.yaml": "name: shop\nservices: {a: {image: 'x:${COMPOSE_PROJECT_NAME}'}}"})
    result = project(tmp_path)
    assert (result.project, result.apps[0].image) == (name, f"x:{name}")


def test_services_of_profiles_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    text = "services: {web: {image: x}, debug: {image: y, profiles: [dev, all]}, mail: {image: z, profiles: [mail]}}"
    write(tmp_path, {"compose.yaml": text})
    result = project(tmp_path)
    assert [app.name for app in result.apps] == ["web"] and result.profiles == {"dev", "all", "mail"}
    assert result.notes == (
        "compose.yaml: debug, mail left out, since only a profile starts them: "
        "add --profile all --profile dev --profile mail",
    )
    assert [app.name for app in project(tmp_path, ["dev"]).apps] == ["web", "debug"]
    write(tmp_path, {".env": "COMPOSE_PROFILES=mail,other"})
    assert [app.name for app in project(tmp_path).apps] == ["web", "mail"]


def test_names_of_kubernetes_replace_those_of_compose_as_hosts(tmp_path: Path) -> None:
    text = """\
  my_db: {image: postgres}
  web:
    image: x
    command: [--db, 'my_db:5432']
    environment: {DB_HOST: my_db, DB_NAME: my_db, URL: 'pg://my_db:pw@my_db/my_db', PATH: /my_db}
"""
    apps = services(tmp_path, text)
    assert list(apps) == ["my-db", "web"]
    assert apps["web"].args == ("--db", "my-db:5432")
    assert apps["web"].environment == {
        "DB_HOST": "my-db",
        "DB_NAME": "my_db",
        "URL": "pg://my_db:pw@my-db/my_db",
        "PATH": "/my_db",
    }
    assert project(tmp_path).notes == ("my_db is called my-db in the cluster: change what else calls it",)


def test_other_names_of_a_service_are_aliases(tmp_path: Path) -> None:
    text = """\
  a: {image: x, container_name: shop-a, hostname: a.example, networks: {n: {aliases: [alias, b]}}}
  b: {image: y, container_name: shop-a, links: ['a:linked', 'a']}
"""
    apps = services(tmp_path, text)
    assert (apps["a"].aliases, apps["b"].aliases) == (("alias", "shop-a", "linked"), ())


@pytest.mark.parametrize(
    ("text", "jobs"),
    [
        ("a: {image: x, restart: 'no'}", []),
        (
            "a: {image: x, ports: [80]}\n  b: {image: y, depends_on: {a: {condition: service_completed_successfully}}}",
            ["a"],
        ),
        ("a: {image: x}\n  b: {image: y, depends_on: {a: {}}}", []),
    ],
)
def test_service_whose_end_is_awaited_is_a_job(tmp_path: Path, text: str, jobs: list[str]) -> None:
    assert [app.name for app in services(tmp_path, f"  {text}").values() if app.once] == jobs


def test_missing_and_secret_files_are_noted(tmp_path: Path) -> None:
    text = "services: {web: {image: x, env_file: [a.env, {path: b.env, required: false}]}}"
    assert project(write(tmp_path, {"compose.yaml": text})).notes == ("a.env, with variables of web, is missing",)
    text = "services: {web: {image: x, environment: {A: $A}, secrets: [k]}}\nsecrets: {k: {file: key}}"
    write(tmp_path, {".env": "A=secret\n", "key": "k", "compose.yaml": text})
    assert project(tmp_path).notes == (
        "values of .env are in what is written: keep it out of git if they are secret",
        "the secrets of compose.yaml are in what is written: keep it out of git",
    )
