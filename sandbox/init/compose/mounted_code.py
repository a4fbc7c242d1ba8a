"""Adds to the image of a compose service what compose mounts into its container, such as the source code.

A pod has no folder of this machine. What is copied at the build, `sandbox dev` keeps up to date.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from sandbox.init import dockerfile
from sandbox.init.detected import App

_SAID = "# What compose mounts; added by `sandbox init`."


def recipe(text: str, stage: str | None, mounted: Mapping[str, str]) -> str:
    """Return the Dockerfile `text`, up to a stage, with what is mounted of its context; empty if it copies all that."""
    lacking = {source: place for source, place in mounted.items() if not dockerfile.copies(text, stage, source, place)}
    if not text or not lacking:
        return ""
    lines = (f"COPY {json.dumps([source, place], ensure_ascii=False)}\n" for source, place in lacking.items())
    begun = f"FROM {stage}\n" if stage else ""
    return f"{text.rstrip()}\n\n{_SAID}\n{begun}{''.join(lines)}"


def shared(made: Mapping[str, App], notes: list[str]) -> dict[str, App]:
    """Return the programs, by their services, with one Dockerfile for those of the same text; a note names these."""
    files: dict[tuple[str | None, str], str] = {}
    found = dict(made)
    for name, app in made.items():
        if app.recipe:
            file = files.setdefault((app.context, app.recipe), app.build["dockerfile"])
            found[name] = replace(app, build={**app.build, "dockerfile": file})
    copied = {app.name: app.build["dockerfile"] for app in found.values() if _SAID in app.recipe}
    if copied:
        where = ", ".join(dict.fromkeys(copied.values()))
        notes.append(f"what compose mounts is copied into the images of {', '.join(copied)}: see {where}")
    return found
