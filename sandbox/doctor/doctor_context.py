"""The facts that every check uses: the spec, the user's folders, the environment, and the engine if one answers."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLong
from dataclasses import dataclass
from datetime import datetime

from sandbox.config.schema import ResolvedSpec
from sandbox.engine import Engine
from sandbox.engine.connection import Facts
from sandbox.errors import MissingTool, SandboxError
from sandbox.kube.api import Cluster
from sandbox.names import Home, Names


class NoEngine(Exception):
    """A check needs the engine, and there is none; the check of the engine reports why."""


@dataclass(frozen=True)
class EngineProbe:
    engine: Engine
    facts: Facts


@dataclass(frozen=True)
class DoctorContext:
    """One sandbox on this machine; `docker` is the engine, or the reason why there is none. `now` is aware.

    `which` are the arguments that name the sandbox, such as ` -n NAME`. All checks together may take `seconds`.
    """

    spec: ResolvedSpec
    home: Home
    environment: Mapping[str, str]
    docker: EngineProbe | SandboxError
    now: datetime
    which: str = ""
    seconds: float = 30.0

    @property
    def names(self) -> Names:
        return self.home.sandbox(self.spec.name)

    @property
    def probe(self) -> EngineProbe:
        """Raises NoEngine if the engine did not answer."""
        if isinstance(self.docker, SandboxError):
            raise NoEngine
        return self.docker

    @property
    def engine(self) -> Engine:
        return self.probe.engine

    @property
    def cluster(self) -> Cluster:
        """Return the sandbox's cluster. Raises SandboxError before the first `up`."""
        if not self.names.kubeconfig.exists():
            raise SandboxError("there is no sandbox yet", fix=f"sandbox up{self.which}", id="not-up")
        return Cluster(self.names.kubeconfig)


def probe_engine(seconds: float) -> EngineProbe | SandboxError:
    """Connect to the engine that the environment names, or return why that fails within `seconds`."""
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(_reach).result(seconds)
    except TooLong:
        return MissingTool(
            f"the Docker Engine has not answered for {seconds:g} s",
            fix="read its log (journalctl -u docker) and restart it",
            id="engine-hangs",
        )
    except SandboxError as trouble:
        return trouble
    finally:
        pool.shutdown(wait=False)


def _reach() -> EngineProbe:
    engine = Engine.connect()
    return EngineProbe(engine, engine.facts())
