"""The connection to a running engine, and the facts about it and its machine."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from urllib3.exceptions import LocationValueError

from sandbox.engine import endpoint
from sandbox.engine.base import OLDEST_API
from sandbox.engine.containers import Containers
from sandbox.engine.endpoint import Endpoint
from sandbox.engine.engine_images import Images
from sandbox.engine.engine_values import Bind
from sandbox.engine.networks import Networks
from sandbox.errors import MissingTool
from sandbox.sanitize import cause
from sandbox.system.wait import WaitTimeout, wait_until

# A machine's architecture as kernels name it, and as images do (OCI image specification, "platform").
_PLATFORMS = {"x86_64": "amd64", "aarch64": "arm64"}
FIRST_ANSWER = 15  # seconds
_connections: dict[Endpoint, Engine] = {}


@dataclass(frozen=True)
class Facts:
    """The answer of `GET /info` (Docker Engine API): memory in bytes.

    `local`: it is reached through a socket of this machine; only then `root`, where it keeps images and volumes, may be
    a folder of this machine. `limits`: it can limit the processes, memory and processor time of containers.
    `architecture` is that of its machine, as images have it, `kernel` the release that runs there.
    """

    version: str
    api: str
    local: bool
    system: str
    architecture: str
    kernel: str
    rootless: bool
    cgroup_version: int
    cpus: int
    memory: int
    root: Path
    podman: bool
    limits: bool


def read_facts(info: Mapping[str, Any], *, api: str, local: bool, podman: bool = False) -> Facts:
    options = [str(option).partition(",")[0] for option in info.get("SecurityOptions") or ()]
    return Facts(
        version=str(info["ServerVersion"]),
        api=api,
        local=local,
        system=str(info.get("OperatingSystem") or ""),
        architecture=_PLATFORMS.get(machine := str(info.get("Architecture") or ""), machine),
        kernel=str(info.get("KernelVersion") or ""),
        rootless="name=rootless" in options or bool(info.get("Rootless")),  # of Docker, of Podman
        cgroup_version=int(info.get("CgroupVersion") or 2),
        cpus=int(info.get("NCPU") or 0),
        memory=int(info.get("MemTotal") or 0),
        root=Path(info.get("DockerRootDir") or "/var/lib/docker"),
        podman=podman,
        limits=all(info.get(limit, True) for limit in ("PidsLimit", "MemoryLimit", "CPUShares")),
    )


class Engine(Images, Containers, Networks):
    """A connection to the engine that the environment names; every call raises EngineError when the engine fails."""

    @classmethod
    def connect(cls) -> Engine:
        """Connect to the engine that `endpoint.find` names.

        A process has one connection to each. Raises MissingTool when there is none or it is too old.
        """
        place = endpoint.find()
        if place in _connections:
            return _connections[place]
        engine = cls(place)
        api = engine._api
        try:
            # Not /version, which the library would ask: for that the engine runs other programs.
            ping = api.get(f"{api.base_url}/_ping", timeout=FIRST_ANSWER)
            ping.raise_for_status()
            version = ping.headers.get("Api-Version") or api.version(api_version=False)["ApiVersion"]
            spoken = tuple(int(part) for part in version.split("."))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            is_answer = isinstance(error, json.JSONDecodeError) or not isinstance(error, OSError | LocationValueError)
            if isinstance(error, ValueError) and not is_answer:  # errors of the HTTP libraries about the address
                raise endpoint.unusable(place, error) from error
            reason = "another server answers" if is_answer else cause(error)
            raise unreachable(f"{place.socket or place.url}: {reason}", place) from error
        if spoken < tuple(int(part) for part in OLDEST_API.split(".")):
            raise MissingTool(
                f"the Docker Engine is too old: {ping.headers.get('Server', 'its version is unknown')}",
                details=f"it speaks API {version}, needed is {OLDEST_API}",
                fix="upgrade to Docker Engine 20.10 or newer",
            )
        engine._version = api._version = version
        engine.is_podman = "Libpod-Api-Version" in ping.headers
        return _connections.setdefault(place, engine)

    def facts(self) -> Facts:
        local = self._place is not None and (self._place.socket is not None or self._place.url.startswith("npipe://"))
        return read_facts(self._info, api=self._version, local=local, podman=self.is_podman)

    @property
    def address(self) -> str:
        return self._place.url if self._place else ""

    def id(self) -> str:
        """Return an id that no other engine has, the same as long as it keeps its data."""
        # Podman returns another id each time.
        return str(self._info.get("Name" if self.is_podman else "ID") or "")

    def is_heard(self, bind: Bind, *, waits: bool = False) -> bool:
        """Tell whether this machine can connect to a port that a running container publishes or listens on.

        It tries for a few seconds: the container may need a moment, and so may the forwarder of a virtual machine. A
        server that `waits` for its clients does not close the connection, as a forwarder does that reaches nothing.
        """

        def unheard() -> str | None:
            try:
                with socket.create_connection((bind.asked_at, bind.port), timeout=1) as connection:
                    connection.settimeout(0.15)
                    with suppress(TimeoutError):
                        return "hung up" if waits and not connection.recv(1) else None
                    return None
            except OSError as error:
                return str(error)

        try:
            wait_until(unheard, what="the port", timeout=5, pause=0.05)
        except WaitTimeout:
            return False
        return True

    def root(self) -> Path:
        return self.facts().root


def unreachable(message: str, place: Endpoint) -> MissingTool:
    if "Permission denied" in message or "PermissionError" in message:
        return MissingTool(
            "you may not use the Docker Engine",
            details=message,
            fix="add yourself to the group `docker` (sudo usermod -aG docker $USER, then log in again)",
            id="engine-permission",
        )
    if "timed out" in message:
        return MissingTool(
            "the Docker Engine accepted the connection but did not respond",
            details=message,
            fix="read its log (journalctl -u docker) and restart it",
            id="engine-hangs",
        )
    return MissingTool(
        "no Docker Engine answers",
        details=f"{message} (by {place.origin})",
        fix=place.how_to_start,
        id="engine-unreachable",
    )
