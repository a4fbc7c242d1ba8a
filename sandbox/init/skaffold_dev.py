"""What `skaffold dev` does besides building: files it copies into containers, ports it forwards, what else it runs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from sandbox.config import untyped
from sandbox.images.sync_rules import is_place
from sandbox.system.files import is_dir, is_file, is_inside

# A file of the context, or everything in a folder and below: the patterns that a rule of images.yaml has, too.
_SOURCE = re.compile(r"(?P<folder>([^*?\[\]{}]+/)?)(?P<last>\*\*(/\*)?|[^*?\[\]{}/]+)")
# Files of one name's pattern in a folder, and below it by `**`.
_FILES = re.compile(r"(?P<folder>([^*?\[\]{}]+/)?)(?P<deep>\*\*/)?(?P<name>[^\[\]{}/]*[*?][^\[\]{}/]*)")
MOST_FILES = 20  # with a line each in a rule
MOST_LOOKED_AT = 5000
IDLE = (
    *("test", "manifests.hooks", "manifests.kpt", "manifests.transform", "manifests.kustomize.buildArgs"),
    *("deploy.cloudrun", "deploy.docker", "deploy.kpt", "deploy.helm.hooks", "deploy.kustomize.buildArgs"),
    *("deploy.kubectl.defaultNamespace", "deploy.kubectl.hooks", "deploy.kubectl.remoteManifests"),
)


def sync_paths(
    manual: Sequence[Mapping[str, Any]], built: Path, workdir: str | None
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the files and folders of the context `built` with their places in containers, and what is left out.

    A place may be said from the image's `workdir`, if that is known (skaffold.yaml reference, sync.manual).
    """
    found: dict[str, str] = {}
    left_out: list[str] = []
    for one in manual:
        said = str(one.get("src") or "").removeprefix("./")
        places = {path.rstrip("/") or ".": _place(one, path, workdir) for path in _sources(said, built)}
        known = {path: place for path, place in places.items() if place and found.get(path, place) == place}
        if not known or len(known) < len(places):
            left_out.append(said)
        else:
            found |= known
    return found, tuple(left_out)


def _sources(said: str, built: Path) -> list[str]:
    """Return the files and folders of the context that a pattern means; nothing where it means none, or too many.

    Folders end in a slash, and the context is empty. A folder it is where all its files are meant, as new ones will be.
    """
    if source := _SOURCE.fullmatch(said):
        whole = source["last"].startswith("*")
        path = source["folder"] if whole else source[0]
        return [path] if os.path.lexists(built / path) and is_inside(built, built / path) else []
    if not (pattern := _FILES.fullmatch(said)) or not is_dir(place := built / pattern["folder"]):
        return []
    files = [one for one in islice(place.rglob("*"), MOST_LOOKED_AT) if is_file(one)]
    meant = [one for one in files if one.match(pattern["name"]) and (pattern["deep"] or one.parent == place)]
    if pattern["folder"] and files and len(meant) == len(files):
        return [pattern["folder"]]
    inside = [one.relative_to(built).as_posix() for one in meant if is_inside(built, one)]
    return sorted(inside) if len(inside) <= MOST_FILES else []


def _place(rule: Mapping[str, Any], path: str, workdir: str | None) -> str | None:
    """Return where a path goes: below `dest`, without the beginning `strip`; None where that is not known."""
    strip, dest = str(rule.get("strip") or ""), str(rule.get("dest") or "")
    if not path.startswith(strip) or not (dest.startswith("/") or (dest and workdir)):
        return None
    place = str(PurePosixPath(workdir or "/", dest, path.removeprefix(strip).lstrip("/")))
    return place if is_place(place) and "$" not in place else None


def forwarded(forwards: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a note for each port that is forwarded; a Service's has a counterpart in the spec."""
    for one in forwards:
        kind, name, port = (str(one.get(key) or "") for key in ("resourceType", "resourceName", "port"))
        said = f"the port-forward of {kind.lower()} {name} is left out"
        if kind.lower() in ("service", "svc") and port:
            service = f"{one.get('namespace') or 'default'}/{name}:{port}"
            entry = f"{{port: {one.get('localPort') or port}, to: {service}}}"
            yield f"{said}: for other protocols than HTTP, write in sandbox.yaml: edge: {{tcp: [{entry}]}}"
        else:
            yield f"{said}: the edge routes to Services"


def idle(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys of a configuration that `skaffold dev` uses and that have no counterpart."""
    for path in IDLE:
        if untyped.at(config, *path.split(".")):
            yield f"`{path}`"
