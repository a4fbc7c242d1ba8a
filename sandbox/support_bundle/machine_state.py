"""Collects from this machine: logs and configurations, versions, and the containers with their logs."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from sandbox import __version__
from sandbox.doctor.check import DoctorContext, EngineProbe
from sandbox.engine import Engine, EngineError, labelled
from sandbox.names import Home, Names
from sandbox.system import files

LINES = 5000
CONFIGURATIONS = ("*.cfg", "*.map", "routes/*.json", "routes/by-hand/*.json", "routes/registries/*.json")


def logs(home: Home, names: Names) -> Iterator[tuple[str, str]]:
    for log in (*home.state.glob("sandbox.log*"), *names.folder.rglob("*.log"), *home.forwards.glob("*.log")):
        yield f"logs/{log.relative_to(home.state)}", log.read_text(errors="replace", encoding="utf-8")


def configurations(context: DoctorContext) -> Iterator[tuple[str, str]]:
    """Yield the resolved spec, the spec of the last `up`, and the configuration of the edge."""
    yield "spec.json", context.spec.model_dump_json(indent=2)
    if files.is_file(context.names.spec):
        yield "spec-of-the-last-up.json", context.names.spec.read_text(encoding="utf-8")
    folder = context.home.edge
    for pattern in CONFIGURATIONS:
        for file in folder.glob(pattern):
            yield f"{folder.name}/{file.relative_to(folder)}", file.read_text(errors="replace", encoding="utf-8")


def versions(context: DoctorContext) -> Iterator[tuple[str, str]]:
    """Yield the versions of sandbox, Python and its packages, the system and the engine."""
    packages = sorted(f"{package.name} {package.version}" for package in metadata.distributions())
    release = Path("/etc/os-release")
    release_text = release.read_text(errors="replace", encoding="utf-8") if release.exists() else ""
    system = (f"sandbox {__version__}", f"python {sys.version}", platform.platform(), release_text)
    yield "versions.txt", "\n".join((*system, "", *packages)) + "\n"
    engine = asdict(context.docker.facts) if isinstance(context.docker, EngineProbe) else str(context.docker)
    yield "engine.json", json.dumps(engine, indent=2, default=str)


def containers(engine: Engine, home: Home) -> Iterator[tuple[str, str]]:
    """Yield this user's containers, those of other sandboxes too, with their last log lines."""
    for container in labelled.containers(engine, home):
        yield f"containers/{container.name}.json", json.dumps(asdict(container), indent=2, default=str)
        try:
            log = engine.logs(container.name, lines=LINES)
        except EngineError as error:  # it is gone by now
            log = f"{error}\n"
        yield f"containers/{container.name}.log", log
