"""What `docker compose watch` copies into containers (Compose Specification, develop), as rules of images.yaml."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox.config import untyped
from sandbox.images.sync_rules import is_place
from sandbox.init.compose.merge import listed
from sandbox.init.compose.settings import words
from sandbox.system.files import is_inside

# What follows the copy, by action; what is only built again is so anyway.
COPIED, RESTARTED, RUN, BUILT = "sync", "sync+restart", "sync+exec", "rebuild"


def rules(service: Mapping[str, Any], folder: Path, context: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rules of a service that is built from `context` in the folder, and the names of what is left out.

    Files that `.dockerignore` excludes are never copied; other patterns of what to pass over have no counterpart.
    """
    found: dict[tuple[str, ...], dict[str, Any]] = {}  # by action and command
    left_out: list[str] = []
    built = folder / context
    for one in listed(untyped.at(service, "develop", "watch")):
        given = one if isinstance(one, Mapping) else {}
        action, path, target = (str(given.get(key) or "") for key in ("action", "path", "target"))
        if action == BUILT:
            continue
        after = words(untyped.at(given, "exec", "command"))
        fits = bool(after) if action == RUN else action in (COPIED, RESTARTED)
        there = path and os.path.lexists(folder / path) and is_inside(built, folder / path)
        if not fits or not is_place(target) or "$" in target or not there:
            left_out.append(f"develop.watch.{path.removeprefix('./')}")
            continue
        lost = [key for key in ("ignore", "include") if given.get(key)]
        lost += [f"exec.{key}" for key in given["exec"].keys() - {"command"}] if action == RUN else []
        left_out += [f"develop.watch.{path.removeprefix('./')}.{key}" for key in lost]
        then: dict[str, dict[str, Any]] = {RESTARTED: {"restart": True}, RUN: {"run": list(after)}}
        rule = found.setdefault((action, *after), {"paths": {}, **then.get(action, {})})
        rule["paths"][os.path.relpath(folder / path, built)] = target.rstrip("/")
    return list(found.values()), left_out
