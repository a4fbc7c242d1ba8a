"""A project of DDEV becomes its web container, its database and what its compose files add, as DDEV's settings say."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sandbox.errors import UsageError
from sandbox.init import compose, project_files
from sandbox.init.detected import App
from tests.support.project_folder import DEPLOYMENT, look, write

CONFIG = """\
name: shop.example
type: drupal11
docroot: web
php_version: "8.3"
database: {type: mysql, version: "8.0"}
additional_hostnames: [fr, "*.many"]
additional_fqdns: [shop.example.com]
web_environment: [DRUSH_OPTIONS_URI=$DDEV_PRIMARY_URL, "API_KEY=${KEY}", DDEV_SCHEME=http]
webimage_extra_packages: ["php${DDEV_PHP_VERSION}-tidy", ffmpeg, "${OTHER}"]
hooks: {post-start: [{exec: composer install}]}
"""
# In the manner of ddev/ddev-redis.
REDIS = """\
services:
  redis:
    container_name: ddev-${DDEV_SITENAME}-redis
    image: ${REDIS_IMAGE:-redis:7}
    labels: {com.ddev.site-name: "${DDEV_SITENAME}"}
    expose: [6379]
    volumes: [".:/mnt/ddev_config", "ddev-global-cache:/mnt/ddev-global-cache", "./redis:/etc/redis", "redis:/data"]
  web: {environment: {REDIS: redis:6379}}
"""


def ddev(folder: Path, config: str = CONFIG, name: str = "", **files: str) -> tuple[dict[str, App], tuple[str, ...]]:
    write(folder, **{".ddev/config.yaml": config}, **files)
    found = compose.load_ddev(folder, name)
    assert found is not None
    return {one.name: one for one in found.apps}, found.notes


def test_ddev_project_has_the_names_of_its_settings(tmp_path: Path) -> None:
    """Its settings files ask for the host db and db/db, where IS_DDEV_PROJECT says so."""
    found, notes = ddev(tmp_path, **{".ddev/.env": "KEY=abc\n", ".ddev/mysql/x.cnf": "[mysqld]\n"})
    web, database = found["web"], found["db"]
    assert (web.context, web.port, web.hosts) == (".", 80, ("fr",))
    assert web.build == {"sync": [{"paths": {".": "/var/www/html"}}], "dockerfile": "sandbox-web.Dockerfile"}
    said = ("IS_DDEV_PROJECT", "DDEV_PRIMARY_URL", "DRUSH_OPTIONS_URI", "API_KEY", "DDEV_SCHEME", "DDEV_DOCROOT")
    url = "https://web.shop-example.sandbox.localhost"
    assert [web.environment[one] for one in said] == ["true", url, url, "abc", "http", "web"]
    assert (database.image, database.port, database.aliases) == ("mysql:8.0", 3306, ("ddev-shop-example-db",))
    account = ("MYSQL_DATABASE", "MYSQL_USER", "MYSQL_PASSWORD")
    assert [database.environment[one] for one in account] == ["db", "db", "db"]
    assert database.claims == {"/var/lib/mysql": "database"}
    assert [mount.place for mount in database.mounts] == ["/etc/mysql/conf.d/x.cnf"]
    assert notes == (
        "web is built by sandbox-web.Dockerfile, which takes the place of DDEV's image: check what the project needs",
        "of webimage_extra_packages these are left out: ${OTHER}",
        "values of .env of .ddev/config.yaml are in what is written: keep it out of git if they are secret",
        "of .ddev/config.yaml these are left out: additional_fqdns, hooks, additional_hostnames",
        "the database begins empty: `ddev export-db -f db.sql.gz` before, and `gunzip -c db.sql.gz | kubectl exec -i "
        "deployment/db -- mysql -udb -pdb db` after `sandbox up` fill it",
    )


def test_ddev_image_serves_the_docroot_by_the_version_of_php(tmp_path: Path) -> None:
    files = {
        "composer.json": "{}",
        "package.json": "{}",
        ".ddev/php/a.ini": "",
        ".ddev/web-build/Dockerfile.x": "RUN x",
    }
    found, notes = ddev(tmp_path, **files)
    text = found["web"].recipe
    assert text.splitlines()[1] == "FROM php:8.3-apache"
    assert " zip tidy\n" in text
    assert "apt-get install -y ffmpeg\n" in text
    assert "'DocumentRoot /var/www/html/web'" in text
    assert "COPY .ddev/php/*.ini /usr/local/etc/php/conf.d/\n" in text
    assert "X-Forwarded-Proto ^https$ HTTPS=on" in text
    assert text.index("COPY --chown=www-data:www-data . .\n") < text.index("composer install --no-interaction\n")
    assert sum("sandbox-web.Dockerfile" in note for note in notes) == 3


def test_ddev_compose_files_add_their_services(tmp_path: Path) -> None:
    """DDEV's own volumes and labels, without a use here, are not among what is left out."""
    found, _ = ddev(tmp_path, **{".ddev/docker-compose.redis.yaml": REDIS, ".ddev/redis/redis.conf": "port 6379\n"})
    assert list(found) == ["web", "db", "redis"]
    redis = found["redis"]
    assert (redis.image, redis.port, redis.left_out) == ("redis:7", 6379, ())
    assert (redis.aliases, redis.claims) == (("ddev-shop-example-redis",), {"/data": "redis"})
    assert [(mount.place, dict(mount.files)) for mount in redis.mounts] == [
        ("/etc/redis", {"redis.conf": "port 6379\n"})
    ]
    assert found["web"].environment["REDIS"] == "redis:6379"


def test_ddev_mount_that_a_command_uses_is_kept(tmp_path: Path) -> None:
    text = "services: {job: {image: x, command: sh /mnt/ddev_config/a.sh, volumes: ['.:/mnt/ddev_config']}}"
    found, _ = ddev(tmp_path, **{".ddev/docker-compose.job.yaml": text, ".ddev/a.sh": "true\n"})
    assert [mount.place for mount in found["job"].mounts] == ["/mnt/ddev_config"]


@pytest.mark.parametrize(
    ("said", "image", "claims"),
    [
        ("", "mariadb:11.8", {"/var/lib/mysql": "database"}),
        ("mysql_version: '5.7'\nmariadb_version: ''", "mysql:5.7", {"/var/lib/mysql": "database"}),
        ("database: {type: postgres, version: '17'}", "postgres:17", {"/var/lib/postgresql/data": "database"}),
        ("database: {type: postgres, version: '18'}", "postgres:18", {"/var/lib/postgresql": "database"}),
        ("database: {type: oracle}", "mariadb:11.8", {"/var/lib/mysql": "database"}),
    ],
)
def test_ddev_database_keeps_its_data_where_its_image_does(
    tmp_path: Path, said: str, image: str, claims: dict[str, str]
) -> None:
    found, _ = ddev(tmp_path, f"name: shop\ntype: php\n{said}\n")
    assert (found["db"].image, found["db"].claims) == (image, claims)


def test_ddev_project_without_a_database_gets_none(tmp_path: Path) -> None:
    found, notes = ddev(tmp_path, "type: php\nomit_containers: [db]\n", "other")
    assert list(found) == ["web"]
    assert found["web"].environment["DDEV_HOSTNAME"] == "web.other.sandbox.localhost"
    assert len(notes) == 1


def test_ddev_local_configuration_adds_or_replaces(tmp_path: Path) -> None:
    files = {
        ".ddev/config.a.yaml": "web_environment: [B=2]\n",
        ".ddev/config.b.yaml": "override_config: true\ntype: php\n",
    }
    found, _ = ddev(tmp_path, "type: typo3\nweb_environment: [A=1]\n", **files)
    environment = found["web"].environment
    assert (environment["A"], environment["B"], environment["DDEV_PROJECT_TYPE"]) == ("1", "2", "php")


def test_ddev_project_with_a_dockerfile_is_built_by_it(tmp_path: Path) -> None:
    """Where the image has its code elsewhere, DDEV's mount says nothing."""
    found, notes = ddev(tmp_path, "type: php\n", Dockerfile="FROM x\nWORKDIR /app\nEXPOSE 9000\n")
    assert (found["web"].build, found["web"].recipe, found["web"].port) == ({}, "", 9000)
    assert notes[0] == "web is built by the Dockerfile here, not as DDEV does"


def test_ddev_type_without_php_needs_a_dockerfile(tmp_path: Path) -> None:
    found, notes = ddev(tmp_path, "type: generic\n")
    assert list(found) == ["db"]
    assert notes[0] == (
        "web is left out: .ddev/config.yaml has the type generic, and no Dockerfile here says how that is built and run"
    )


@pytest.mark.parametrize("docroot", ["../up", "a b; rm", "/", "'$(x)'", "{a: b}"])
def test_ddev_docroot_that_is_no_folder_is_the_project(tmp_path: Path, docroot: str) -> None:
    found, _ = ddev(tmp_path, f"type: php\ndocroot: {docroot}\n")
    assert "'DocumentRoot /var/www/html'" in found["web"].recipe


@pytest.mark.parametrize(
    "text", ["", "[]", "name: [1]\nweb_environment: 3\nadditional_hostnames: {a: 1}\ndatabase: 1\n"]
)
def test_ddev_configuration_of_another_form_is_taken_as_far(tmp_path: Path, text: str) -> None:
    found, _ = ddev(tmp_path, text)
    assert list(found) == ["web", "db"]


def test_ddev_configuration_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.ddev/config\.yaml cannot be read"):
        ddev(tmp_path, "a: [")


def test_init_writes_the_files_of_a_ddev_project(tmp_path: Path) -> None:
    write(tmp_path, **{".ddev/config.yaml": CONFIG, "web/index.php": ""})
    found = look(tmp_path)
    assert project_files.name_of("folder", found) == "shop-example"
    written = project_files.files("shop-example", found, registry=5001, https=None)
    assert {"sandbox-web.Dockerfile", "k8s/web.yaml", "k8s/db.yaml", "images.yaml", ".dockerignore"} < set(written)
    *_, ingress = yaml.safe_load_all(written["k8s/web.yaml"])
    hosts = ["web.shop-example.sandbox.localhost", "fr.shop-example.sandbox.localhost"]
    assert [one["host"] for one in ingress["spec"]["rules"]] == ingress["spec"]["tls"][0]["hosts"] == hosts
    assert "sandbox-web.Dockerfile" not in written[".dockerignore"]  # a change of it builds the image again
    assert not any("is not read" in note for note in found.notes)


def test_manifests_go_before_what_ddev_says(tmp_path: Path) -> None:
    write(tmp_path, **{".ddev/config.yaml": CONFIG}, k8s__a_yaml=DEPLOYMENT)
    found = look(tmp_path)
    assert found.apps == ()
    assert any(note.startswith(".ddev/config.yaml (DDEV) is not read") for note in found.notes)


def test_ddev_project_of_a_folder_below_is_named(tmp_path: Path) -> None:
    write(tmp_path, **{"site/.ddev/config.yaml": CONFIG})
    (note,) = look(tmp_path).notes
    assert note.startswith("site/.ddev/config.yaml is not read: run `sandbox init` in that folder")
