"""What a `live_update` of a Tiltfile copies into containers and runs there, as rules of images.yaml."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from sandbox.images.sync_rules import is_place, placed
from sandbox.init.starlark import Call, listed

Place = Callable[[Any], str | None]


def rules(
    steps: Sequence[Any], place: Place, folder: Path, *, context: str, restarted: bool
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rules for the files of an image's context, and what is left out, in words.

    `place` returns where a path is, seen from the project's `folder`, and None for one outside. The program is started
    again after a change if it is `restarted`; a rule does that or runs a command, so that for both the image is built.
    """
    paths: dict[str, str] = {}
    commands: list[tuple[Any, Sequence[Any]]] = []
    left_out: list[str] = []
    for step in steps:
        match step:
            case Call(name="sync"):
                given = step.bound("local_path", "remote_path")
                local, remote = _inside(place(given.get("local_path")), context), given.get("remote_path")
                there = local is not None and os.path.lexists(folder / context / local)
                if local and there and isinstance(remote, str) and is_place(remote):
                    paths[local] = posixpath.normpath(remote)
                else:
                    left_out.append(f"sync of {_said(given.get('local_path'))}")
            case Call(name="run"):
                given = step.bound("cmd", "trigger")
                commands.append((given.get("cmd"), listed(given.get("trigger"))))
            case Call(name="restart_container"):
                restarted = True
            case Call(name="fall_back_on"):
                left_out.append("fall_back_on: a change of these is copied, too")
            case Call(name="initial_sync"):
                pass
            case _:
                left_out.append("what only Tilt knows")
    if restarted and commands:
        return [], ["everything, since it runs commands and starts the program again"]
    return _rules(paths, commands, place, context, left_out, restarted=restarted), left_out


def _rules(
    paths: dict[str, str],
    commands: Sequence[tuple[Any, Sequence[Any]]],
    place: Place,
    context: str,
    left_out: list[str],
    *,
    restarted: bool,
) -> list[dict[str, Any]]:
    """Return the rules, of which the first that fits counts: those of files whose change runs a command come first."""
    found: list[dict[str, Any]] = []
    always: list[str] = []
    for command, trigger in commands:
        words = (
            " ".join(command) if isinstance(command, list) and all(isinstance(one, str) for one in command) else command
        )
        if not isinstance(words, str) or not paths:
            left_out.append("a command")
            continue
        if not trigger:
            always.append(words)
            continue
        inside = [_inside(place(one), context) for one in trigger]
        places = {one: where for one in inside if one and (where := placed(one, paths))}
        if len(places) < len(trigger):
            left_out.append(f"the command `{words}` for files that are not copied")
        if places:
            found.append({"paths": places, "run": ["sh", "-c", words]})
    if paths:
        run = {"run": ["sh", "-c", " && ".join(always)]} if always else {}
        found.append({"paths": paths, **run, **({"restart": True} if restarted else {})})
    return found


def _inside(place: str | None, context: str) -> str | None:
    """Return a path of the project as seen from the context; None if it is not in that."""
    if place is None or not PurePosixPath(place).is_relative_to(context):
        return None
    return PurePosixPath(place).relative_to(context).as_posix()


def _said(path: Any) -> str:
    return path if isinstance(path, str) else "what only Tilt knows"
