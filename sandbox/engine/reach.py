"""The error for an engine whose ports do not arrive on this machine."""

from __future__ import annotations

from sandbox.engine.engine_values import Bind
from sandbox.errors import SandboxError


def unheard(bind: Bind) -> SandboxError:
    """Return the error for an engine whose machine has another network, and does not forward this port to this one."""
    return SandboxError(
        f"no port of the Docker Engine answers at {bind.asked_at}:{bind.port} of this machine",
        details="a container listens there on the engine's machine, which has another network: it is a container or a "
        "virtual machine that does not forward this port to this one; some forward none below 1024",
        fix="try ports from 1024 on: sandbox up --https-port 8443; or run sandbox where the engine runs",
        id="engine-ports",
    )
