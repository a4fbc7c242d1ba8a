"""Tests whether containers see the folders of this machine that are mounted, and how to share folders with an engine.

An engine in a virtual machine sees the folders that its tool shares with it. For any other path it silently makes an
empty folder, and programs in the container miss their files.
"""

from __future__ import annotations

import os
import secrets
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from sandbox.engine.endpoint import Endpoint
from sandbox.errors import SandboxError

# How to share a folder with each tool's machine, by a word in what `tool` returns, the address or what names it.
SHARES = {
    "docker of snap": "snap's Docker sees no hidden folder and none outside of your home folder; use Docker's own "
    "packages (docs.docker.com/engine/install)",
    "desktop on wsl": "in Docker Desktop: Settings, Resources, WSL integration, turn on this distribution",
    "orbstack": "OrbStack shares macOS' folders, not those of its Linux machines: run sandbox on macOS for {folder}",
    "/.rd/": "in Rancher Desktop: Preferences, Virtual Machine, Volumes, add {folder}",
    "rancher": "in Rancher Desktop: Preferences, Virtual Machine, Volumes, add {folder}",
    "desktop": "in Docker Desktop: Settings, Resources, File sharing, add {folder}",
    "/.docker/run/": "in Docker Desktop: Settings, Resources, File sharing, add {folder}",
    "colima": "colima stop && colima start --mount {folder}:w",
    "lima": "limactl stop && limactl edit --mount {folder}:w",
    "podman": "podman machine rm, then podman machine init --volume {folder}:{folder}",
}


def require_seen(
    read: Callable[[PurePosixPath], bytes | None],
    mounts: Mapping[Path, str],
    how_to_share: Callable[[Path], str],
    *,
    make: bool = False,
) -> set[Path]:
    """Return those of the folders in `mounts` that a container was seen to share, each by its path inside.

    `read` returns a file of the container, which need not run, or None. A folder without a file cannot be tested,
    unless we `make` one meanwhile. Raises SandboxError for a folder whose files the container does not see.
    """
    proved: set[Path] = set()
    for source, target in mounts.items():
        with _witness(source, make=make) as witness:
            if witness is None:
                continue
            inner = PurePosixPath(target) / witness.relative_to(source).as_posix()
            seen = read(inner) is not None
        if not seen:
            raise SandboxError(
                f"the Docker Engine does not see the folder {source if source.is_dir() else source.parent}",
                details=f"{witness} is here, and a container that is given it has no {inner}: the engine runs in a "
                "virtual machine, a container or a snap, which does not share this folder",
                fix=how_to_share(source),
                id="engine-folders",
            )
        proved.add(source)
    return proved


def tool(info: Mapping[str, Any]) -> str:
    """Return what the engine is of, where the answer to `GET /info` (Docker Engine API) tells for sure, or nothing."""
    system, name = str(info.get("OperatingSystem") or ""), str(info.get("Name") or "")
    if str(info.get("DockerRootDir") or "").startswith("/var/snap/docker/"):
        return "docker of snap"
    if system.startswith("Rancher Desktop") or name == "lima-rancher-desktop":
        return "rancher desktop"
    if system == "Docker Desktop":
        return "desktop on wsl" if "microsoft" in str(info.get("KernelVersion") or "") else "docker desktop"
    if system == "OrbStack":
        return "orbstack"
    return next((word for word in ("colima", "lima") if name == word or name.startswith(f"{word}-")), "")


def advice(place: Endpoint | None, folder: Path, tool: str = "") -> str:
    """Return how to share `folder` with the engine at `place`, which may be of a `tool`."""
    elsewhere = "or keep the sandboxes' files in a folder that it shares: export XDG_STATE_HOME="
    elsewhere += "$HOME/sandbox-state" if tool == "docker of snap" else "…"
    words = tool or (f"{place.origin} {place.url}".lower() if place else "")
    shared = shlex.quote(str(_top(folder)))
    for word, command in SHARES.items():
        if word in words:
            return f"{command.format(folder=shared)}, {elsewhere}"
    return f"let the engine's machine share {shared}, {elsewhere}"


@contextmanager
def _witness(source: Path, *, make: bool) -> Iterator[Path | None]:
    """Yield a file at or in `source`, None where there is none that this user can read or `make`."""
    found = _file_of(source)
    if found or not make:
        yield found
        return
    made = source / f".sandbox-{secrets.token_hex(8)}"
    try:
        made.touch(mode=0o644)
    except OSError:
        yield None
        return
    try:
        yield made
    finally:
        made.unlink(missing_ok=True)


def _file_of(source: Path) -> Path | None:
    try:
        if source.is_file():
            return source
        with os.scandir(source) as entries:
            names = sorted(one.name for one in entries if one.is_file(follow_symlinks=False))
    except OSError:
        return None
    return source / names[0] if names else None


def _top(folder: Path) -> Path:
    """Return the home folder for what is below it, which is shared as a whole."""
    home = Path.home()
    return home if folder.is_relative_to(home) else folder
