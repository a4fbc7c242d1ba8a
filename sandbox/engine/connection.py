"""An engine that answers, and what it tells of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import docker
from docker import DockerClient
from docker.errors import DockerException
from docker.utils.config import find_config_file

from sandbox.engine import engine_info as facts
from sandbox.engine.base import CALL_TIMEOUT
from sandbox.engine.call_cache import once
from sandbox.engine.containers import Containers
from sandbox.engine.engine_errors import translated, unreachable
from sandbox.engine.engine_images import Images
from sandbox.engine.engine_info import Facts
from sandbox.engine.networks import Networks
from sandbox.engine.volumes import Volumes
from sandbox.errors import MissingTool
from sandbox.sanitize import cause

OLDEST_API = (1, 41)
FIRST_ANSWER = 15
LOCAL = ("http+docker://localhost", "http+docker://localnpipe")


class Engine(Images, Containers, Networks, Volumes):
    """A connection to the engine that the environment names; every call raises EngineError when the engine fails."""

    @classmethod
    def connect(cls) -> Engine:
        """Reach the engine of DOCKER_HOST or the current context; MissingTool when there is none or it is too old."""
        client: DockerClient | None = None
        try:
            client = docker.from_env(version=".".join(map(str, OLDEST_API)), timeout=CALL_TIMEOUT, max_pool_size=16)
            if client.api.base_url in LOCAL:
                # What the environment and netrc say is for servers elsewhere; each call would look it all up.
                client.api.trust_env = False
            # Not /version, which the library would ask: there the engine runs other programs to tell of theirs.
            ping = client.api._get(client.api._url("/_ping", versioned_api=False), timeout=FIRST_ANSWER)
            client.api._raise_for_status(ping)
            version = ping.headers.get("Api-Version") or client.version()["ApiVersion"]
        except (DockerException, OSError) as error:
            raise unreachable(": ".join((*_place(client), cause(error)))) from error
        except ValueError as error:  # the library reads the accounts of `docker login`
            raise MissingTool(
                "Docker's config.json has an account that cannot be read",
                details=str(find_config_file()),
                fix="remove what is wrong under `auths` there, then docker login",
                id="docker-config",
            ) from error
        if tuple(int(part) for part in version.split(".")) < OLDEST_API:
            raise MissingTool(
                f"the Docker Engine is too old: {ping.headers.get('Server', 'its version is unknown')}",
                details=f"it speaks API {version}, needed is 1.41",
                fix="upgrade to Docker Engine 20.10 or newer",
            )
        client.api._version = version
        return cls(client)

    @property
    def version(self) -> str:
        """The engine's version."""
        with translated("asking for the engine's version"):
            return str(self._client.version()["Version"])

    def cgroup_version(self) -> int:
        """1 or 2: which control group hierarchy the engine's containers get."""
        with translated("asking about the engine"):
            return int(self._info().get("CgroupVersion", "2"))

    def facts(self) -> Facts:
        """What the engine tells of itself and of its machine."""
        api = self._client.api
        with translated("asking about the engine"):
            return facts.read(self._info(), api=api._version, local=api.base_url in LOCAL)

    def is_rootless(self) -> bool:
        """Whether the engine runs without root, and so may publish only the ports that its user may listen on."""
        with translated("asking about the engine"):
            return any("rootless" in str(option) for option in self._info().get("SecurityOptions") or ())

    @once
    def _info(self) -> Mapping[str, Any]:
        """What `docker info` shows, for which the engine runs other programs."""
        return dict(self._client.info())


def _place(client: DockerClient | None) -> tuple[str, ...]:
    """Where the engine was looked for, if it came to that."""
    if client is None:
        return ()
    url = client.api.base_url
    return (str(getattr(client.api.get_adapter(url), "socket_path", url)),)
