"""The state of a sandbox as `status` shows it: its components, its Services, and who reaches it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.app import context
from sandbox.app.core import Sandbox
from sandbox.app.edge import edge_ports
from sandbox.app.edge.edge_ports import Reached
from sandbox.app.machine_plan import keeping
from sandbox.app.session import wake_paused
from sandbox.app.views.overview import Network, network
from sandbox.engine import Engine


@dataclass(frozen=True)
class StepState:
    """A component; its state is ready, absent, drifted, stale or unseen, and `detail` is for people."""

    step: str
    title: str
    state: str
    detail: str


@dataclass(frozen=True)
class SandboxStatus:
    name: str
    steps: Sequence[StepState]
    network: Network
    services: Sequence[Reached]

    @property
    def is_ready(self) -> bool:
        return all(step.state == "ready" for step in self.steps)

    @property
    def exists(self) -> bool:
        return any(step.step in ("spec", "cluster") and step.state != "absent" for step in self.steps)


def read(sandbox: Sandbox) -> SandboxStatus:
    wake_paused(sandbox.names)
    engine = Engine.connect()
    with keeping(engine, sandbox.names):
        steps = [StepState(part.name, part.title, part.state, part.detail) for part in sandbox.parts()]
        runs = any(step.step == "cluster" and step.state == "ready" for step in steps)
        services = edge_ports.reached_of(sandbox.name, context.home(), engine) if runs else ()
        reachable = network(sandbox.resolved, (f"*.{sandbox.domain}",))
    return SandboxStatus(sandbox.name, steps, reachable, services)
