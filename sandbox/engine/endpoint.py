"""Finds the engine as Docker's own client does (docker-cli, cli/command/cli.go, resolveContextName).

The order is: DOCKER_HOST, DOCKER_CONTEXT, `currentContext` of config.json, the default socket.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sandbox.errors import MissingTool
from sandbox.system import files

DEFAULT = Path("/var/run/docker.sock")
# How to start each tool's engine, by a word in its context or its socket's path.
STARTS = {
    "desktop": "docker desktop start",
    "orbstack": "orb start",
    "colima": "colima start",
    "/.rd/": "rdctl start",
    "rancher": "rdctl start",
    "/.lima/": "limactl start docker",
    "lima-": "limactl start docker",
    "podman": "podman machine start   (on Linux: systemctl --user start podman.socket)",
    "rootless": "systemctl --user start docker",
    "/run/user/": "systemctl --user start docker",
}
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True)
class Endpoint:
    """An engine's address: `url` in the form of DOCKER_HOST, and `origin`, what names it, for messages."""

    url: str
    origin: str

    @property
    def host(self) -> str:
        """Return the name of the engine's machine without account and port, empty for a socket of this machine."""
        parts = urlsplit(self.url)
        return "" if parts.scheme in ("unix", "npipe") else parts.hostname or self.url

    @property
    def socket(self) -> str | None:
        kind, _, path = self.url.partition("://")
        return (path and f"/{path.lstrip('/')}") or str(DEFAULT) if kind in ("unix", "http+unix") else None

    @property
    def is_here(self) -> bool:
        return self.host in {"", *LOOPBACK} and not self.is_ssh

    @property
    def is_ssh(self) -> bool:
        return self.url.startswith("ssh://")

    @property
    def how_to_leave(self) -> str:
        return "unset DOCKER_HOST" if self.origin == "DOCKER_HOST" else "docker context use default"

    @property
    def how_to_start(self) -> str:
        if self.host:
            return f"start the engine on {self.host}, or use this machine's: {self.how_to_leave}"
        for word, command in STARTS.items():
            if word in self.origin.lower() or word in self.url.lower():
                return f"start it: {command}"
        if self.origin == "DOCKER_HOST":
            return "start the engine of that socket, or use the default one: unset DOCKER_HOST"
        return (
            "start it (Linux: `sudo systemctl start docker`; macOS and Windows: start Docker Desktop); or choose that "
            "of another tool (docker context use NAME, or DOCKER_HOST=unix://SOCKET); or install one: scripts/engine "
            "does it on Debian and Ubuntu"
        )


def of_this_user() -> Endpoint:
    return find(os.environ, Path.home())


def find(environment: Mapping[str, str], home: Path) -> Endpoint:
    """Return the engine that `environment` and the files below `home` name.

    Raises MissingTool for an unknown name or an invalid address.
    """
    if url := environment.get("DOCKER_HOST"):
        place = Endpoint(url, "DOCKER_HOST")
    else:
        folder = Path(environment.get("DOCKER_CONFIG") or home / ".docker")
        name, origin = environment.get("DOCKER_CONTEXT", ""), "DOCKER_CONTEXT"
        if not name:
            origin = str(folder / "config.json")
            with suppress(OSError, ValueError, AttributeError):  # the library reports a file that cannot be read
                name = str(files.read_json(folder / "config.json").get("currentContext") or "")
        if name in ("", "default"):
            return Endpoint(f"unix://{DEFAULT}", "the default socket")
        place = Endpoint(_address(folder, name, origin), f"the docker context {name}")
    try:
        parts = urlsplit(place.url)
        wrong = "it has no host" if place.is_ssh and not parts.hostname else ""
        _ = parts.port  # raises for what is no number; the next line for labels that are too long
        (parts.hostname or "" if place.socket is None else "").encode("idna")
    except ValueError as error:
        wrong = str(error)
    if wrong:
        raise no_address(place, wrong)
    return place


def no_address(place: Endpoint, wrong: str) -> MissingTool:
    return MissingTool(
        f"{place.origin} is not the address of an engine",
        details=f"{place.url}: {wrong}",
        fix=f"write unix:///PATH, tcp://HOST:PORT or ssh://USER@HOST there, or {place.how_to_leave}",
        id="engine-unreachable",
    )


def _address(folder: Path, name: str, origin: str) -> str:
    """Return the address in a context's metadata (docker-cli, cli/context/store: named by the name's SHA-256)."""
    contexts = folder / "contexts" / "meta"
    path = contexts / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
    try:
        return str(files.read_json(path)["Endpoints"]["docker"]["Host"])
    except FileNotFoundError as error:
        names = ["default"]
        for other in sorted(contexts.glob("*/meta.json")):
            with suppress(OSError, ValueError, KeyError, TypeError):
                names.append(str(files.read_json(other)["Name"]))
        fix = "set DOCKER_CONTEXT to one of these, or unset it"
        raise MissingTool(
            f"there is no docker context {name!r}",
            details=f"{origin} names it; there are: {', '.join(names)}",
            fix=fix if origin == "DOCKER_CONTEXT" else "docker context use NAME, with one of these",
            id="engine-context",
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingTool(
            f"the docker context {name!r} cannot be read",
            details=f"{path}: {type(error).__name__} {error}",
            fix=f"make it again: docker context rm {name}, docker context create {name} --docker host=…",
            id="engine-context",
        ) from error
