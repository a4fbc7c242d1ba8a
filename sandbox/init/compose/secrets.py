"""The secrets and configs of a compose service (Compose Specification, 08-configs.md and 09-secrets.md), as mounts."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sandbox.config import text_file
from sandbox.errors import UsageError
from sandbox.init.compose import variables
from sandbox.init.compose.merge import PLACED, listed
from sandbox.init.compose.volumes import MOST_BYTES
from sandbox.init.detected import Mount, labels
from sandbox.init.project_folders import has

OWNER = ("uid", "gid")
MOST_RIGHTS = 0o777  # that Kubernetes takes


def mounts(
    service: Mapping[str, Any],
    defined: Mapping[str, Mapping[str, Any]],
    folder: Path,
    value: Callable[[str], str | None],
) -> tuple[list[Mount], list[str]]:
    """Return the mounts of a service, and the names of what is left out, each with the reason.

    `defined` has the compose file's secrets and configs by section and name, `folder` is where it is, and `value`
    returns the value of a variable.
    """
    found: list[Mount] = []
    left_out: list[str] = []
    for section in ("secrets", "configs"):
        named = labels(defined[section])
        for one in listed(service.get(section)):
            given = one if isinstance(one, Mapping) else {"source": one}
            name = str(given.get("source"))
            place = posixpath.join(PLACED[section], str(given.get("target") or name))
            source = defined[section].get(name)
            text, reason = _text(source, folder, value)
            if ":" in place:
                text, reason = None, "Kubernetes mounts nothing at a path with a colon"
            if text is None:
                left_out.append(f"{section}.{name} ({reason})")
                continue
            # Compose leaves a file its own; and the pod has no other owner than root, whose alone it might be.
            owner = [key for key in OWNER if str(given.get(key) or 0) != "0"]
            mode = None if owner or "file" in (source or {}) else _mode(given.get("mode"))
            left_out += [f"{section}.{name}.{key}" for key in owner]
            left_out += [f"{section}.{name}.mode"] if "mode" in given and mode is None else []
            secret = section == "secrets"
            found.append(Mount(place, {named[name]: text}, single=True, name=named[name], secret=secret, mode=mode))
    return found, left_out


def _mode(given: Any) -> int | None:
    """Return the permissions of a file, of which text is octal; None where there are none, or bad ones."""
    try:
        mode = int(given, 8) if isinstance(given, str) else int(given)
    except (TypeError, ValueError, OverflowError):
        return None
    return mode if 0 <= mode <= MOST_RIGHTS else None


def _text(given: Any, folder: Path, value: Callable[[str], str | None]) -> tuple[str | None, str]:
    """Return the content, or None and why there is none."""
    match given:
        case {"external": external} if external:
            return None, "it is external"
        case {"content": content}:
            return variables.whole(str(content)), "only your shell has its variables"
        case {"environment": variable}:
            return value(str(variable)), f"only your shell has {variable}"
        case {"file": file}:
            if not has(folder, str(file)):
                return None, f"there is no {file} in this folder"
            try:
                return text_file.read(folder / str(file), most=MOST_BYTES), ""
            except UsageError:
                return None, f"{file} is not text, or too long"
        case _:
            return None, "the file does not define it"
