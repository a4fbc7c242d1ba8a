"""The services of a compose file become programs with names of their own; some are left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.config.schema.values import MAX_NAME
from sandbox.init.project_files import name_of
from tests.support.project_folder import DEPLOYMENT, apps, load, look, services, write


def test_names_that_become_one_are_kept_apart(tmp_path: Path) -> None:
    """Services, volumes and secrets whose names differ by case or a sign only → other names, told by a note."""
    text = """\
services:
  Web: {image: a, volumes: ["Data:/d", "./Data:/f"], environment: {A: "http://web/", B: "http://Web/"}, secrets: [A_B]}
  web: {image: b, volumes: ["data:/d"], secrets: [a-b]}
  a_b: {image: c}
secrets: {A_B: {file: one}, a-b: {file: two}}
"""
    found, notes = load(write(tmp_path, compose_yaml=text, one="1", two="2"))
    assert [(one.name, one.image, dict(one.claims), one.volumes) for one in found] == [
        ("web-2", "a", {"/d": "data-2", "/f": "data-3"}, ("data-2", "data-3")),
        ("web", "b", {"/d": "data"}, ("data",)),
        ("a-b", "c", {}, ()),
    ]
    assert [(mount.name, mount.files) for one in found for mount in one.mounts if mount.secret] == [
        ("a-b-2", {"a-b-2": "1"}),
        ("a-b", {"a-b": "2"}),
    ]
    assert notes[:2] == [
        "Web is called web-2 in the cluster, and so in B of web-2: change what else calls it (its code)",
        "a_b is called a-b in the cluster: change what calls it (its code)",
    ]


def test_service_whose_name_cannot_be_kept_is_noted(tmp_path: Path) -> None:
    web = "{image: y, environment: {HOST: my_db, URL: 'pg://my_db:1/my_db_2', NO: my_db_2}}"
    text = f"services: {{my_db: {{image: x}}, web: {web}}}"
    (_, app), notes = load(write(tmp_path, compose_yaml=text))
    assert app.environment == {"HOST": "my-db", "URL": "pg://my-db:1/my_db_2", "NO": "my_db_2"}
    changed = "HOST of web, URL of web"
    assert notes == [f"my_db is called my-db in the cluster, and so in {changed}: change what else calls it (its code)"]


def test_services_whose_long_names_begin_alike_stay_apart(tmp_path: Path) -> None:
    """So do their volumes, in which the data would be mixed."""
    names = [f"{'x' * 40}-{end}" for end in ("one", "two")]
    listed = [f"{name}: {{image: x, volumes: ['{name}:/data']}}" for name in names]
    text = f"services: {{{', '.join(listed)}}}\nvolumes: {{{names[0]}: {{}}, {names[1]}: {{}}}}"
    first, second = load(write(tmp_path, compose_yaml=text))[0]
    assert first.name != second.name
    assert first.claims["/data"] != second.claims["/data"]
    assert max(map(len, (first.name, *first.volumes))) <= MAX_NAME


@pytest.mark.parametrize(
    ("profiles", "env", "names"),
    [
        ((), "", ["web"]),
        (("debug",), "", ["web", "tools"]),
        (("seed", "debug"), "", ["web", "tools", "seeds"]),
        (("*",), "", ["web", "tools", "seeds"]),
        ((), "COMPOSE_PROFILES=debug, seed\n", ["web", "tools", "seeds"]),
    ],
)
def test_services_of_wanted_profiles_are_used(
    tmp_path: Path, profiles: tuple[str, ...], env: str, names: list[str]
) -> None:
    (tmp_path / ".env").write_text(env)
    (tmp_path / "compose.yaml").write_text(
        "services:\n  web: {image: web}\n"
        "  tools: {image: tools, profiles: [debug, other]}\n  seeds: {image: seeds, profiles: [seed]}\n"
    )
    apps, notes = load(tmp_path / "compose.yaml", profiles)
    assert [app.name for app in apps] == names
    apart = {"tools": "--profile debug --profile other", "seeds": "--profile seed"}
    left_out = [name for name in apart if name not in names]
    options = " ".join(apart[name] for name in left_out)
    note = f"compose.yaml: {', '.join(left_out)} left out, since only a profile starts them: add {options}"
    assert notes == ([note] if left_out else [])


@pytest.mark.parametrize(
    ("settings", "once"),
    [
        ("restart: 'no'", True),
        ("restart: no, command: migrate", True),
        ("restart: 'no', ports: ['80:80']", False),
        ("restart: 'no', tty: true", False),
        ("restart: on-failure", False),
    ],
)
def test_service_that_is_not_restarted_is_a_job(tmp_path: Path, settings: str, once: bool) -> None:
    """Migrations say so; as a Deployment they would be started for ever, and never be ready."""
    assert services(tmp_path, f"  a: {{image: a, {settings}}}\n")["a"].once is once


def test_notes_on_what_compose_writes_come_with_objects(tmp_path: Path) -> None:
    """Where manifests are applied, no secret is written and no profile's image is used."""
    text = """
services:
  my_web: {build: web, environment: {KEY: "${KEY}"}, secrets: [token]}
  debug: {image: busybox, profiles: [debug]}
  seed: {build: seed, profiles: [seed]}
secrets: {token: {file: token}}
"""
    write(tmp_path, token="t", web__Dockerfile="FROM scratch\n", seed__Dockerfile="FROM scratch\n")
    (tmp_path / "compose.yaml").write_text(text)
    (tmp_path / ".env").write_text("KEY=secret\n")
    assert look(tmp_path).notes == (
        "compose.yaml: debug, seed left out, since only a profile starts them: add --profile debug --profile seed",
        "my_web is called my-web in the cluster: change what calls it (its code)",
        "values of .env of compose.yaml are in what is written: keep it out of git if they are secret",
        "the secrets of compose.yaml are in what is written: keep it out of git",
    )
    (tmp_path / "api.yaml").write_text(DEPLOYMENT)
    assert look(tmp_path).notes == (
        "compose.yaml: seed left out, since only a profile starts them: add --profile seed",
    )


def test_service_that_others_wait_for_to_end_runs_once(tmp_path: Path) -> None:
    text = """\
services:
  move: {image: tool}
  web: {image: web, depends_on: {move: {condition: service_completed_successfully}, db: {condition: service_healthy}}}
  db: {image: postgres}
"""
    write(tmp_path, **{"compose.yaml": text})
    assert [app.once for app in look(tmp_path).apps] == [True, False, False]


@pytest.mark.parametrize(
    ("variables", "name", "database"),
    [
        ("", "my_shop", "my_shop_db"),
        ("COMPOSE_PROJECT_NAME=Other_1\n", "Other_1", "Other_1_db"),
        ("KIND=store\n", "my_store", "my_store_db"),
    ],
)
def test_name_of_a_compose_project_is_kept(tmp_path: Path, variables: str, name: str, database: str) -> None:
    """By `name:`, or COMPOSE_PROJECT_NAME of `.env` before it; services may use it as a variable."""
    text = 'name: "my_${KIND:-shop}"\nservices: {db: {image: x, environment: {DB: "${COMPOSE_PROJECT_NAME}_db"}}}\n'
    write(tmp_path, compose_yaml=text, **{".env": variables})
    found = look(tmp_path)
    assert (found.project, name_of("folder", found)) == (name, name.lower().replace("_", "-"))
    assert found.apps[0].environment == {"DB": database}


def test_compose_project_without_a_name_has_the_folders(tmp_path: Path) -> None:
    text = "services: {db: {image: x, environment: {DB: '${COMPOSE_PROJECT_NAME}_db'}}}\n"
    write(tmp_path, **{"My Shop/compose.yaml": text})
    found = look(tmp_path / "My Shop")
    assert (found.project, name_of("My Shop", found)) == ("", "my-shop")
    assert found.apps[0].environment == {"DB": "myshop_db"}


def test_files_that_compose_file_names_are_read(tmp_path: Path) -> None:
    """COMPOSE_FILE in `.env` → these, with the paths of the first one's folder, and not the usual ones."""
    found = apps(
        tmp_path,
        compose_yaml="services: {web: {image: usual}}",
        docker__base_yaml="services: {web: {build: .., volumes: ['./conf:/conf'], env_file: ../web.env}}",
        docker__dev_yaml="services: {web: {command: dev}, db: {image: 'db:${TAG}'}}",
        **{"compose.override.yaml": "services: {other: {image: x}}", "docker/conf/a": "b", "docker/.env": "TAG=2\n"},
        **{".env": "COMPOSE_FILE=docker/base.yaml:./docker/dev.yaml:../x.yaml\n", "web.env": "A=1\n"},
    )
    assert (set(found), found["db"].image) == ({"web", "db"}, "db:2")
    web = found["web"]
    assert (web.context, web.args, web.environment) == (".", ("dev",), {"A": "1"})
    assert web.build == {"sync": [{"paths": {"docker/conf": "/conf"}}]}
    _, notes = load(tmp_path / "compose.yaml")
    assert notes[0] == "../x.yaml, which COMPOSE_FILE names, is left out: it is not in this folder"


def test_profiles_of_env_are_wanted(tmp_path: Path) -> None:
    text = "services: {a: {image: x, profiles: [one]}, b: {image: x, profiles: [two]}, c: {image: x}}"
    assert set(apps(tmp_path, compose_yaml=text, **{".env": "COMPOSE_PROFILES=two, three\n"})) == {"b", "c"}


def test_job_that_only_restart_tells_is_noted(tmp_path: Path) -> None:
    """Not one that others wait for to end; and what others name as a host is none."""
    text = """\
services:
  seed: {image: x, restart: "no"}
  told: {image: x, restart: "no"}
  queue: {image: x, restart: "no"}
  web: {image: x, environment: {Q: 'redis://queue/0'}, depends_on: {told: {condition: service_completed_successfully}}}
"""
    found, notes = load(write(tmp_path, compose_yaml=text))
    assert [app.name for app in found if app.once] == ["seed", "told"]
    assert notes == [
        'seed is a Job, since its service says restart: "no": where its program does not end, `up` waits for it in '
        "vain; remove that line before"
    ]


def test_example_of_env_is_named(tmp_path: Path) -> None:
    """A project whose `.env` is only made from an example → what to do before `init`."""
    write(tmp_path, compose_yaml="services: {a: {image: 'x:${TAG:-1}'}}", **{"example.env": "TAG=2\n"})
    note = "there is no .env: `cp example.env .env` before `sandbox init` gives variables a value"
    assert load(tmp_path / "compose.yaml")[1] == [note]
    (tmp_path / ".env").write_text("TAG=2\n")
    assert load(tmp_path / "compose.yaml")[1] == []


def test_volume_that_an_image_would_fill_is_noted(tmp_path: Path) -> None:
    """Static files of a built program that a web server reads: a claim has none of them, and hides them."""
    text = """\
services:
  app: {build: ., volumes: ["static:/app/static", "data:/data"]}
  web: {image: nginx, volumes: ["static:/usr/share/nginx/html:ro"]}
"""
    _, notes = load(write(tmp_path, compose_yaml=text))
    assert notes == ["the volume static begins empty; compose puts what the image of app has at /app/static there"]


def test_service_that_is_left_out_defines_nothing_for_others(tmp_path: Path) -> None:
    """What both mount is in the manifest of the one that is written."""
    text = """\
services:
  gone: {build: 'https://e.example/x.git', volumes: [data:/d], configs: [c], networks: {a: {aliases: [other]}}}
  web: {image: x, volumes: [data:/d], configs: [c], environment: {URL: 'http://gone:80', HOST: other}}
configs: {c: {content: c}}
volumes: {data: {}}
"""
    found, notes = load(write(tmp_path, compose_yaml=text))
    assert [(app.name, app.volumes, app.elsewhere) for app in found] == [("web", ("data",), ())]
    assert [note for note in notes if not note.startswith("gone is left out: ")] == []
