"""The engine that a sandbox was brought up on: a user may have several engines, and has one state folder for all.

Names, ports, certificates and the kubeconfig are of that folder. So a sandbox of the same name on another engine would
take those of the first, which goes on running.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass

from sandbox.engine import Engine, endpoint
from sandbox.errors import UsageError
from sandbox.names import Names
from sandbox.system import files


@dataclass(frozen=True)
class UsedEngine:
    """An engine by its id, and its address in the form of DOCKER_HOST, without a password."""

    id: str
    address: str

    @classmethod
    def of(cls, engine: Engine) -> UsedEngine:
        return cls(engine.id(), _shown(engine.address))

    @classmethod
    def read(cls, names: Names) -> UsedEngine | None:
        try:
            content = files.read_json(names.engine)
            return cls(str(content["id"]), str(content["address"]))
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def record(self, names: Names) -> None:
        if self != UsedEngine.read(names):
            files.write_private(names.engine, json.dumps({"id": self.id, "address": self.address}).encode())


def _now() -> str:
    return _shown(endpoint.find().url)


def _shown(address: str) -> str:
    return re.sub(r":[^/\s]*@", "@", address)  # a password may have a @, though it should not


def other(names: Names) -> str | None:
    """Return the address of the engine of the last `up`, if it is another than commands use now.

    An engine at the same address that has another id was replaced or reset: there is no second one. Raises SandboxError
    for an engine at another address that does not answer.
    """
    used = UsedEngine.read(names)
    if used is None or used.address == _now() or used.id == Engine.connect().id():
        return None
    return used.address


def require(names: Names) -> None:
    if before := other(names):
        raise UsageError(
            f"'{names.name}' was brought up on another engine",
            details=f"before  {before}\nnow     {_now()}; nothing was changed",
            fix=f"DOCKER_HOST={shlex.quote(before)} sandbox …, or give this one another name; if that engine is gone: "
            f"sandbox down {names.name}",
            id="other-engine",
        )
