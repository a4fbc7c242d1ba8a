"""What `skaffold dev` does besides building: files it copies into containers, ports it forwards, what else it runs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from sandbox.config import untyped
from sandbox.images.sync_rules import is_place
from sandbox.system.files import is_inside

# A file of the context, or everything in a folder and below: the patterns that a rule of images.yaml has, too.
_SOURCE = re.compile(r"(?P<folder>([^*?\[\]{}]+/)?)(?P<last>\*\*(/\*)?|[^*?\[\]{}/]+)")
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
        said, place = str(one.get("src") or ""), None
        source = _SOURCE.fullmatch(said.removeprefix("./"))
        if source:
            whole = source["last"].startswith("*")
            path = source["folder"].rstrip("/") or "." if whole else source[0]
            place = _place(one, source["folder"] if whole else source[0], workdir)
        if not source or place is None or not os.path.lexists(built / path) or not is_inside(built, built / path):
            left_out.append(said)
            continue
        found[path] = place
    return found, tuple(left_out)


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
