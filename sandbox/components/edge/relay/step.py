"""The edge where no container can reach the cluster: a process of the user's that brings the ports to the ingress."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from sandbox import __version__
from sandbox.components.edge import routes
from sandbox.components.edge.relay import relay_state
from sandbox.components.edge.routes import Route, Tunnel
from sandbox.engine import Bind
from sandbox.errors import SandboxError
from sandbox.names import Names
from sandbox.step import State, Status, Work
from sandbox.system import daemon, files
from sandbox.system.wait import wait_until

TIMEOUT = 20.0
LARGEST_LOG = 1 << 20


@dataclass(frozen=True)
class PassthroughStep:
    """One process for all sandboxes that need it; this step owns one route in it, and the last route takes it along."""

    names: Names
    domain: str
    binds: tuple[Bind, ...]
    upstream: str
    kubectl: Path
    tunnels: tuple[Tunnel, ...] = ()
    name: str = "edge"
    requires: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return "Passthrough on " + ", ".join(f"{bind.address}:{bind.port}" for bind in self._listeners)

    def check(self) -> Status:
        folder = self.names.home.passthrough
        mine = routes.find(routes.load(folder), self.names.name)
        if mine is None:
            return Status(State.ABSENT)
        if mine != self._route(mine.since):
            return Status(State.DRIFTED, "the route leads elsewhere")
        reason = self._missing()
        return Status(State.DRIFTED, reason) if reason else Status(State.READY, f"*.{self.domain}")

    def apply(self, work: Work) -> None:
        folder = self.names.home.passthrough
        files.make_private_dir(folder)
        with files.exclusive(folder):
            self._link()
            mine = routes.find(routes.load(folder), self.names.name)
            route = self._route(mine.since if mine else time.time())
            routes.require_unclaimed(route, routes.load(folder))
            routes.save(folder, route)
            state, record = relay_state.running(folder), relay_state.record(folder)
            if state is not None and state.version != __version__:
                daemon.end(record)
            if daemon.find(record) is None:
                self._start()
            wait_until(self._silence, what=self.title, timeout=TIMEOUT, pause=0.05)

    def undo(self) -> bool:
        folder = self.names.home.passthrough
        if not folder.exists():
            return False
        with files.exclusive(folder):
            removed = routes.remove(folder, self.names.name)
            if routes.load(folder):
                return removed
            ended = daemon.end(relay_state.record(folder))
            relay_state.forget(folder)
            self.names.home.kubectl.unlink(missing_ok=True)
            return ended or removed

    def _route(self, since: float) -> Route:
        listen = tuple((bind.address, bind.port) for bind in self.binds)
        return Route(self.names.name, self.domain, self.upstream, listen, since, tunnels=self.tunnels)

    @property
    def _listeners(self) -> tuple[Bind, ...]:
        return (*self.binds, *(Bind(tunnel.address, tunnel.port) for tunnel in self.tunnels))

    def _link(self) -> None:
        """Give the process a `kubectl` of that very name, which the bundle's program for all of Kubernetes goes by."""
        link = self.names.home.kubectl
        link.unlink(missing_ok=True)
        link.symlink_to(self.kubectl)

    def _start(self) -> None:
        folder = self.names.home.passthrough
        log = relay_state.log(folder)
        if log.exists() and log.stat().st_size > LARGEST_LOG:
            log.unlink()
        (folder / "state.json").unlink(missing_ok=True)
        from sandbox.components.edge.relay import relay_process  # and asyncio with it

        argv = relay_process.argv(folder)
        daemon.start(argv, log_to=log, record=relay_state.record(folder))

    def _missing(self) -> str | None:
        """Return what keeps the sandbox from being served, or None."""
        folder = self.names.home.passthrough
        state = relay_state.running(folder)
        return self._not_served(state) or self._not_heard(state)

    def _not_served(self, state: relay_state.State | None) -> str | None:
        """Return why the process does not follow the present routes, or None when it does."""
        folder = self.names.home.passthrough
        if state is None:
            return f"its process does not run; it last said in {relay_state.log(folder)}"
        if state.version != __version__:
            return f"runs {state.version}"
        if state.routes != relay_state.digest(routes.load(folder)):
            return "has not taken in the routes yet"
        return None

    def _not_heard(self, state: relay_state.State | None) -> str | None:
        """Return where the process cannot listen, and why; None when it does on every port."""
        for bind in self._listeners:
            if state is None or (bind.address, bind.port) not in state.listening:
                reason = state.trouble.get(f"{bind.address}:{bind.port}", "unknown") if state else "unknown"
                return f"does not listen on {bind.address}:{bind.port}: {reason}"
        return None

    def _silence(self) -> str | None:
        folder = self.names.home.passthrough
        if daemon.find(relay_state.record(folder)) is None:
            log = relay_state.log(folder)
            said = log.read_text(errors="replace", encoding="utf-8")[-2000:] if log.exists() else ""
            raise SandboxError("the passthrough stopped", details=said, id="stopped")
        state = relay_state.running(folder)
        pending = self._not_served(state)
        if pending is None and (unheard := self._not_heard(state)):
            raise SandboxError(f"the passthrough {unheard}", fix="sandbox up --https-port auto", id="port-in-use")
        return pending
