"""Adds to the image of a compose service what compose mounts into its container, such as the source code.

A pod has no folder of this machine. What is copied at the build, `sandbox dev` keeps up to date.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from sandbox.init import dockerfile
from sandbox.init.compose.volumes import Volumes
from sandbox.init.detected import App, label

_SAID = "# What compose mounts; added by `sandbox init`."


def added(app: App, placed: Volumes, folder: Path) -> App:
    """Return the program with an image that has what is mounted.

    Its own Dockerfile gets what it does not copy of its context. What is elsewhere in the project's folder is added to
    the image of the service, which is built by itself if it is not pulled.
    """
    file, text, target = f"sandbox-{app.name}.Dockerfile", _text(app, folder), app.build.get("target")
    lacking = {one: place for one, place in placed.sync.items() if not dockerfile.copies(text, target, one, place)}
    if not placed.elsewhere:
        if not text or not lacking:
            return app
        build = {key: value for key, value in app.build.items() if key != "target"}
        begun = f"{text.rstrip()}\n\n" + (f"FROM {target}\n" if target else "")
        return replace(app, build={**build, "dockerfile": file}, recipe=_with(begun, lacking))
    base = _base(app)
    inside = {_moved(app, path): place for path, place in lacking.items()}
    rules = [
        {**rule, "paths": {_moved(app, path): place for path, place in rule["paths"].items()}}
        for rule in app.build.get("sync", ())
    ]
    return replace(
        app,
        context=".",
        image=None,
        build={"sync": [*rules, {"paths": placed.elsewhere}], "dockerfile": file},
        recipe=_with(f"FROM {base.name if base else app.image}\n\n", {**inside, **placed.elsewhere}),
        base=base,
    )


def _text(app: App, folder: Path) -> str:
    """Return the Dockerfile of what is built; empty where another could not be written next to it."""
    if app.context is None or ".." in PurePosixPath(app.context).parts:
        return ""
    return app.recipe or dockerfile.read(folder / app.context, app.build.get("dockerfile", "Dockerfile"))


def _with(text: str, mounted: Mapping[str, str]) -> str:
    lines = (f"COPY {json.dumps([path, place], ensure_ascii=False)}\n" for path, place in mounted.items())
    return f"{text}{_SAID}\n{''.join(lines)}"


def _base(app: App) -> App | None:
    """Return the image that the service builds, called by how it is built, for others may build the same."""
    if app.context is None:
        return None
    build = {key: value for key, value in app.build.items() if key != "sync"}
    how = (app.context, build.get("dockerfile", ""), build.get("target", ""), *build.get("args", {}).values())
    name = label(f"{' '.join(how)} base")
    return App(name, context=app.context, names=(name,), build=build, recipe=app.recipe, is_base=True)


def _moved(app: App, path: str) -> str:
    """Return a path of the context as seen from the project's folder."""
    return posixpath.normpath(posixpath.join(app.context or ".", path))


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
