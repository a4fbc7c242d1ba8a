"""Reads the services of a compose file (the Compose Specification), as far as a cluster can run them alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from sandbox.config import text_file, yaml_text
from sandbox.errors import UsageError
from sandbox.init.detected import App, label

# In the order in which compose itself looks for them.
FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
USED = {"build", "container_name", "environment", "expose", "image", "ports", "restart"}


def load(path: Path) -> Iterator[App]:
    """The services of the file `path`; raises UsageError when it is none."""
    try:
        content = yaml_text.document(text_file.read(path))
    except yaml.YAMLError as error:
        raise UsageError(f"{path} cannot be read", details=str(error)) from error
    services = content.get("services") if isinstance(content, dict) else None
    if not isinstance(services, dict):
        raise UsageError(f"{path} has no services", fix="correct it, or move it away")
    for name, service in services.items():
        if isinstance(service, dict):
            yield _app(str(name), service)


def _app(name: str, service: Mapping[str, Any]) -> App:
    context = _context(service.get("build"))
    return App(
        label(name),
        context=context,
        image=None if context is not None else str(service.get("image") or "") or None,
        port=next(_ports(service), None),
        environment=dict(_environment(service.get("environment"))),
        left_out=tuple(sorted(map(str, service.keys() - USED))),
    )


def _context(build: Any) -> str | None:
    """The folder that is built, unless it is none of the project's or has a Dockerfile of another name."""
    if isinstance(build, dict):
        if build.get("dockerfile", "Dockerfile") != "Dockerfile":
            return None
        build = build.get("context", ".")
    if not isinstance(build, str) or "://" in build or PurePosixPath(build).is_absolute():
        return None
    return str(PurePosixPath(build))


def _ports(service: Mapping[str, Any]) -> Iterator[int]:
    """The ports in the container: of `[[IP:]HOST:]CONTAINER[/PROTOCOL]`, the long form's `target`, and `expose`."""
    for one in (*(service.get("ports") or ()), *(service.get("expose") or ())):
        said = str(one.get("target") if isinstance(one, dict) else one).rpartition(":")[2]
        number, _, protocol = said.partition("/")
        if number.isdigit() and 0 < int(number) < 65536 and protocol in ("", "tcp"):
            yield int(number)


def _environment(given: Any) -> Iterator[tuple[str, str]]:
    """Variables with a value of their own; those that compose takes from the shell are not copied into files."""
    pairs = given.items() if isinstance(given, dict) else (str(one).split("=", 1) for one in given or ())
    for key, *value in pairs:
        if value and value[0] is not None and "$" not in str(value[0]):
            yield str(key), str(value[0])
