"""Reads DDEV's configuration of a PHP project as the compose project that DDEV makes of it, as far as it runs here.

DDEV's own services have the names that its settings files have in them: `web`, and `db` with the account db/db. The
ones of `.ddev/docker-compose.*.yaml` come with them. Source: ddev/ddev, pkg/ddevapp/app_compose_template.yaml.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sandbox.config.schema.values import LABEL
from sandbox.config.untyped import mapping
from sandbox.init import dockerfile
from sandbox.init.compose import ddev_image, merged_files, project, variables, volumes
from sandbox.init.compose.merge import as_map, merged, plain
from sandbox.init.compose.project import Compose
from sandbox.init.compose.service import Project
from sandbox.init.detected import as_text, label
from sandbox.init.project_folders import has, listed
from sandbox.system.files import is_file

FILE = ".ddev/config.yaml"
PLACE = "/var/www/html"  # of the project in DDEV's container
# Places of DDEV's own tools in every container, and of its labels there.
TOOLS = ("/mnt/ddev-global-cache", "/mnt/ddev_config")
LABELS = "com.ddev."
DOMAIN = ".sandbox.localhost"
# Types of projects that no server of PHP runs.
NOT_PHP = {"generic", "python", "django4"}
# What has no counterpart; further keys set up DDEV's own tools.
LEFT_OUT = ("additional_fqdns", "dbimage", "hooks", "web_extra_daemons", "web_extra_exposed_ports", "webimage")
PORTS = {"mariadb": 3306, "mysql": 3306, "postgres": 5432}
NEWEST = {"mariadb": "11.8", "mysql": "8.4", "postgres": "14"}  # where the project leaves the version to DDEV


def load(folder: Path, name: str = "") -> Compose | None:
    """Return the programs of a DDEV project in the sandbox called `name`, or as DDEV calls it; None if it is none.

    Raises UsageError for a configuration that cannot be read.
    """
    if not has(folder, FILE):
        return None
    config = _config(folder)
    called = label(name or str(config.get("name") or folder.name))
    known = _variables(config, called)
    known |= variables.of_files([f".ddev/{one.name}" for one in _files(folder, ".env*")], folder, known)
    notes: list[str] = []
    services = {"web": _web(folder, config, notes), "db": _database(folder, config)}
    own = variables.filled({"services": {key: one for key, one in services.items() if one}}, known)
    files = [f".ddev/{one.name}" for one in _files(folder, "docker-compose.*.y*ml")]
    sections, lost = merged_files.added(own, folder, files, known)
    sections["services"] = {key: _without_tools(one) for key, one in sections["services"].items()}
    found = project.read(Project(folder, sections, known), main=FILE, name=called, notes=[*notes, *lost])
    asked = _texts(config, "additional_hostnames")
    hosts = tuple(one for one in asked if re.fullmatch(LABEL, one))
    apps = tuple(replace(one, hosts=hosts) if one.name == "web" else one for one in found.apps)
    left_out = [key for key in LEFT_OUT if config.get(key)] + ["additional_hostnames"] * (len(hosts) < len(asked))
    left_out_notes = [f"of {FILE} these are left out: {', '.join(left_out)}"] if left_out else []
    imported = [_import(_engine(config)[0])] if services["db"] else []
    return replace(found, apps=apps, notes=(*found.notes, *left_out_notes, *imported))


def _import(kind: str) -> str:
    """Return a note of how the new database gets what DDEV's holds."""
    client = "psql -U db db" if kind == "postgres" else f"{kind} -udb -pdb db"
    command = f"gunzip -c db.sql.gz | kubectl exec -i deployment/db -- {client}"
    return (
        f"the database begins empty: `ddev export-db -f db.sql.gz` before, and `{command}` after `sandbox up` fill it"
    )


def _files(folder: Path, pattern: str) -> list[Path]:
    return [one for one in listed(folder / ".ddev") if one.match(pattern) and has(folder, one)]


def _config(folder: Path) -> Mapping[str, Any]:
    """Return the configuration with what `config.*.yaml` add to it, or replace where they say so."""
    found: dict[str, Any] = {}
    for file in (folder / FILE, *_files(folder, "config.*.y*ml")):
        content = plain(merged_files.document(file))
        if isinstance(content, dict):
            found = {**found, **content} if content.get("override_config") is True else merged(found, content)
    return found


def _texts(config: Mapping[str, Any], key: str) -> list[str]:
    given = config.get(key)
    return [as_text(one) for one in given] if isinstance(given, list) else []


def _variables(config: Mapping[str, Any], name: str) -> dict[str, str | None]:
    """Return those that DDEV gives its compose files and containers, for the sandbox of that name."""
    host = f"web.{name}{DOMAIN}"
    kind, version = _engine(config)
    return {
        "DDEV_APPROOT": PLACE,
        "DDEV_DATABASE": f"{kind}:{version}",
        "DDEV_DATABASE_FAMILY": "postgres" if kind == "postgres" else "mysql",
        "DDEV_DOCROOT": ddev_image.docroot(config),
        "DDEV_HOSTNAME": host,
        "DDEV_PHP_VERSION": ddev_image.version(config),
        "DDEV_PRIMARY_URL": f"https://{host}",
        "DDEV_PROJECT": name,
        "DDEV_PROJECT_TYPE": _type(config),
        "DDEV_SCHEME": "https",
        "DDEV_SITENAME": name,
        "DDEV_TLD": f"{name}{DOMAIN}",
        "IS_DDEV_PROJECT": "true",
    }


def _type(config: Mapping[str, Any]) -> str:
    return str(config.get("type") or "php")


def _web(folder: Path, config: Mapping[str, Any], notes: list[str]) -> dict[str, Any] | None:
    """Return the service with the project's code; None where nothing says how its image is built."""
    kind = _type(config)
    service: dict[str, Any] = {"build": {"context": "."}, "volumes": [f".:{PLACE}"]}
    if is_file(folder / "Dockerfile"):
        notes.append("web is built by the Dockerfile here, not as DDEV does")
        text = dockerfile.read(folder)
        service["volumes"] = service["volumes"] if dockerfile.workdir(text) == PLACE else []
        service["ports"] = [str(port)] if (port := dockerfile.port(text)) else []
    elif kind in NOT_PHP:
        notes.append(
            f"web is left out: {FILE} has the type {kind}, and no Dockerfile here says how that is built and run"
        )
        return None
    else:
        text, lost = ddev_image.dockerfile(folder, config)
        notes += lost
        service |= {"build": {"context": ".", "dockerfile_inline": text.replace("$", "$$")}, "ports": ["80"]}
    environment = {
        **{key: f"${{{key}}}" for key in _variables(config, "")},
        **{"PGDATABASE": "db", "PGHOST": "db", "PGPASSWORD": "db", "PGUSER": "db"},
        **as_map(_texts(config, "web_environment")),
    }
    return {**service, "environment": environment, "env_file": [{"path": ".ddev/.env.web", "required": False}]}


def _engine(config: Mapping[str, Any]) -> tuple[str, str]:
    """Return the database and its version; before DDEV 1.19 there was a key for each."""
    older = [{"type": one, "version": said} for one in ("mariadb", "mysql") if (said := config.get(f"{one}_version"))]
    said = mapping(config, "database") or next(iter(older), {})
    kind = str(said.get("type"))
    kind = kind if kind in PORTS else "mariadb"
    return kind, str(said.get("version") or NEWEST[kind])


def _database(folder: Path, config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the service of the database, with the account that DDEV's has; None where the project has none."""
    if "db" in _texts(config, "omit_containers"):
        return None
    kind, version = _engine(config)
    service = {
        "image": f"{kind}:{version}",
        "container_name": "ddev-${DDEV_SITENAME}-db",
        "expose": [str(PORTS[kind])],
    }
    if kind == "postgres":
        # https://hub.docker.com/_/postgres, PGDATA: since version 18 the volume has a folder for each version.
        place = "/var/lib/postgresql" + ("" if version.partition(".")[0] in ("18", "19") else "/data")
        account = {"POSTGRES_DB": "db", "POSTGRES_USER": "db", "POSTGRES_PASSWORD": "db"}
        return {**service, "environment": account, "volumes": [f"database:{place}"]}
    settings = [f"./.ddev/mysql/{one.name}" for one in listed(folder / ".ddev/mysql") if one.suffix == ".cnf"]
    return {
        **service,
        "environment": {
            **{"MYSQL_ROOT_PASSWORD": "root", "MYSQL_DATABASE": "db", "MYSQL_USER": "db", "MYSQL_PASSWORD": "db"}
        },
        "volumes": ["database:/var/lib/mysql", *(f"{one}:/etc/mysql/conf.d/{Path(one).name}" for one in settings)],
    }


def _without_tools(service: Mapping[str, Any]) -> dict[str, Any]:
    """Return the service without what only DDEV's own tools use of it."""
    found = dict(service)
    said = str({key: one for key, one in service.items() if key != "volumes"})
    idle = {place for place in TOOLS if place not in said}
    if isinstance(given := service.get("volumes"), list):
        found["volumes"] = [one for one in given if not idle & {place for _, place in volumes.pairs([one])}]
    if isinstance(given := as_map(service.get("labels")), dict):
        found["labels"] = {key: one for key, one in given.items() if not str(key).startswith(LABELS)}
    return {key: one for key, one in found.items() if one or key != "labels"}
