"""Finds the engine as Docker's own client does (docker-cli, cli/command/cli.go, resolveContextName).

The order is: DOCKER_HOST, DOCKER_CONTEXT, `currentContext` of config.json, the default socket.
"""

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
        return (
            "start it (sudo systemctl start docker; without root: systemctl --user start docker; elsewhere the tool "
            "that runs it); or choose another one (docker context use NAME, or DOCKER_HOST=unix://SOCKET); or install "
            "one: scripts/engine does it on Debian and Ubuntu"
        )


def find(environment: Mapping[str, str] = os.environ) -> Endpoint:
    """Return the engine that `environment` and the user's files name.

    Raises MissingTool for an unknown name or an invalid address.
    """
    if url := environment.get("DOCKER_HOST"):
        place = Endpoint(url, "DOCKER_HOST")
    else:
        folder = Path(environment.get("DOCKER_CONFIG") or Path.home() / ".docker")
        name, origin = environment.get("DOCKER_CONTEXT", ""), "DOCKER_CONTEXT"
        if not name:
            origin = str(folder / "config.json")
            with suppress(OSError, ValueError, AttributeError):  # the library reports a file that cannot be read
                name = str(files.read_json(folder / "config.json").get("currentContext") or "")
        if name in ("", "default"):
            return Endpoint(f"unix://{DEFAULT}", "the default socket")
        place = Endpoint(_address(folder, name, origin), f"the docker context {name}")
    try:
        _ = urlsplit(place.url).port  # raises for what is no number
    except ValueError as error:
        raise unusable(place, error) from error
    return place


def unusable(place: Endpoint, error: Exception) -> MissingTool:
    return MissingTool(
        f"Docker's client library cannot use the engine of {place.origin}",
        details=f"{place.url}: {error}",
        fix="correct the address (unix:///PATH or tcp://HOST:PORT), DOCKER_CERT_PATH or the logins in Docker's "
        f"config.json; or use the default engine: {place.how_to_leave}",
        id="engine-unreachable",
    )


def _address(folder: Path, name: str, origin: str) -> str:
    # docker-cli, cli/context/store
    path = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
    try:
        return str(files.read_json(path)["Endpoints"]["docker"]["Host"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        missing = isinstance(error, FileNotFoundError)
        raise MissingTool(
            f"there is no docker context {name!r}" if missing else f"the docker context {name!r} cannot be read",
            details=f"{origin} names it; {path}: {type(error).__name__} {error}",
            fix="choose one that `docker context ls` lists: docker context use NAME, or set or unset DOCKER_CONTEXT",
            id="engine-context",
        ) from error
