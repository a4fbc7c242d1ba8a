"""What this machine can tell: our logs and configurations, versions, and the containers with their words."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from sandbox import __version__
from sandbox.doctor.doctor_context import DoctorContext, EngineProbe
from sandbox.engine import Engine, labelled
from sandbox.names import Home, Names

LINES = 5000
CONFIGURATIONS = ("*.cfg", "*.map", "routes/*.json", "routes/by-hand/*.json")


def logs(home: Home, names: Names) -> Iterator[tuple[str, str]]:
    """Yield what commands and our own processes wrote down."""
    for log in (*home.state.glob("sandbox.log*"), *names.folder.rglob("*.log"), *home.passthrough.glob("*.log")):
        yield f"logs/{log.relative_to(home.state)}", log.read_text(errors="replace", encoding="utf-8")


def configurations(context: DoctorContext) -> Iterator[tuple[str, str]]:
    """Yield the spec as it is understood, the spec of the last `up`, and what edge and passthrough were told."""
    yield "spec.json", context.spec.model_dump_json(indent=2)
    if context.names.spec.exists():
        yield "spec-of-the-last-up.json", context.names.spec.read_text(encoding="utf-8")
    for folder in (context.home.edge, context.home.passthrough):
        for pattern in CONFIGURATIONS:
            for file in folder.glob(pattern):
                yield f"{folder.name}/{file.relative_to(folder)}", file.read_text(errors="replace", encoding="utf-8")


def versions(context: DoctorContext) -> Iterator[tuple[str, str]]:
    """Ours, Python's and its packages', the system's and the engine's."""
    packages = sorted(f"{one.name} {one.version}" for one in metadata.distributions())
    system = (f"sandbox {__version__}", f"python {sys.version}", platform.platform(), _os_release())
    yield "versions.txt", "\n".join((*system, "", *packages)) + "\n"
    engine = asdict(context.docker.facts) if isinstance(context.docker, EngineProbe) else str(context.docker)
    yield "engine.json", json.dumps(engine, indent=2, default=str)


def containers(engine: Engine, home: Home) -> Iterator[tuple[str, str]]:
    """Yield every container of the sandbox, as it is and with its last words."""
    for one in labelled.containers(engine, home):
        yield f"containers/{one.name}.json", json.dumps(asdict(one), indent=2, default=str)
        yield f"containers/{one.name}.log", engine.logs(one.name, lines=LINES)


def _os_release() -> str:
    file = Path("/etc/os-release")
    return file.read_text(errors="replace", encoding="utf-8") if file.exists() else ""
