"""The relay's interface for other packages: its routes, its process, and whether that serves a sandbox."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit

from sandbox import __version__
from sandbox.components.edge import routes
from sandbox.components.edge.route import Route
from sandbox.errors import SandboxError
from sandbox.names import Home, Names
from sandbox.step import State, Status
from sandbox.system import daemon, files, host_network
from sandbox.system.wait import wait_until

if TYPE_CHECKING:  # the process itself needs no engine
    from sandbox.engine import Bind

SCHEME = "port-forward"
PLAIN = "plain"
PORT = 443
ANY = "any"
TIMEOUT = 20.0  # seconds for the process to listen
LARGEST_LOG = 1 << 20  # bytes

Listener = tuple[str, int]


@dataclass(frozen=True)
class Direct:
    """An address; unless `plain` it gets the PROXY protocol, as the edge's upstreams do."""

    host: str
    port: int = PORT
    plain: bool = False


@dataclass(frozen=True)
class Forwarded:
    """A port of the pods of `target` (`deployment/NAME`, `service/NAME`); `kubectl` and `kubeconfig` are paths.

    `speaks` is the protocol by which the server is tested: `tls`, `http` without TLS, or `any` where it is unknown. A
    Service's port may be a name.
    """

    kubectl: str
    kubeconfig: str
    namespace: str
    target: str
    port: int | str
    speaks: str = "tls"


Upstream: TypeAlias = Direct | Forwarded


def parse(text: str) -> Upstream:
    """Return the meaning of a route's `upstream`, `[plain:]HOST[:PORT]` or a text of `write`; raises ValueError."""
    if text.startswith(f"{SCHEME}:"):
        fields = dict(parse_qsl(urlsplit(text).query, strict_parsing=True))
        try:
            port = fields.pop("port")
            return Forwarded(**fields, port=int(port) if port.isdigit() else port)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{text} is not a port-forward") from error
    plain = text.startswith(f"{PLAIN}:")
    parts = urlsplit(f"//{text.removeprefix(f'{PLAIN}:')}")
    if not parts.hostname:
        raise ValueError(f"{text} is not an address")
    return Direct(parts.hostname, parts.port or PORT, plain)


def write(upstream: Forwarded) -> str:
    """Return a port-forward as a route's `upstream`."""
    return f"{SCHEME}:?{urlencode(asdict(upstream))}"


@dataclass(frozen=True)
class Serving:
    """What the process serves: its routes, where it listens, and why it does not listen elsewhere."""

    routes: str
    listening: frozenset[Listener]
    trouble: Mapping[str, str]
    version: str = __version__


def record(folder: Path) -> Path:
    """Return the file that records the process."""
    return folder / "process.json"


def log(folder: Path) -> Path:
    """Return the process's log."""
    return folder / "passthrough.log"


def digest(known: Sequence[Route]) -> str:
    """Return a digest that tells whether two sets of routes are the same."""
    return hashlib.sha256(repr(tuple(known)).encode()).hexdigest()[:16]


def save(folder: Path, state: Serving) -> None:
    """Record what the process serves now."""
    content = {**asdict(state), "listening": sorted(state.listening)}
    files.write_atomic(folder / "state.json", json.dumps(content).encode(), mode=0o600)


def running(folder: Path) -> Serving | None:
    """Return what the process serves; None when it does not run, or does not listen yet."""
    if daemon.find(record(folder)) is None:
        return None
    try:
        content = files.read_json(folder / "state.json")
        listening = frozenset((str(address), int(port)) for address, port in content.pop("listening"))
        trouble = {str(listener): str(reason) for listener, reason in content.pop("trouble").items()}
        return Serving(**content, listening=listening, trouble=trouble)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def forget(folder: Path) -> None:
    """Remove the files of a process that has ended."""
    for path in (folder / "state.json", log(folder)):
        path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Relay:
    """The user's one process for all sandboxes that need it; it starts with the first route and ends with the last."""

    home: Home

    @property
    def log(self) -> Path:
        """Return the process's log."""
        return log(self.home.relay)

    @property
    def listening(self) -> frozenset[Listener] | None:
        """Return the addresses and ports where it accepts connections; None when it does not run."""
        state = running(self.home.relay)
        return None if state is None else state.listening

    def listens_on(self, bind: Bind) -> bool:
        """Tell whether it has this port."""
        return (bind.address, bind.port) in (self.listening or ())

    def has(self, port: int) -> bool:
        """Tell whether it has a port of this number, on whatever address."""
        return any(port == number for _, number in self.listening or ())

    def forward(self, names: Names, namespace: str, target: str, port: int | str, speaks: str = "tls") -> str:
        """Return, as a route's `upstream`, a port-forward to the pods of `target` through the cluster's API server."""
        return write(
            Forwarded(
                kubectl=str(self.home.kubectl),
                kubeconfig=str(names.kubeconfig),
                namespace=namespace,
                target=target,
                port=port,
                speaks=speaks,
            )
        )

    def service(self, names: Names, namespace: str, service: str, port: int | str) -> str:
        """Return a Service's port as `forward` does, for clients of any protocol and any user."""
        return self.forward(names, namespace, f"service/{service}", port, ANY)

    @staticmethod
    def service_of(upstream: str) -> str:
        """Return where `service` leads, as NAMESPACE/NAME:PORT."""
        to = parse(upstream)
        assert isinstance(to, Forwarded)  # noqa: S101  # as `service` makes it
        return f"{to.namespace}/{to.target.removeprefix('service/')}:{to.port}"

    @staticmethod
    def plain(address: str) -> str:
        """Return, as a route's `upstream`, a `HOST[:PORT]` that does not get the PROXY protocol."""
        return f"{PLAIN}:{address}"

    @staticmethod
    def shown(route: Route) -> str:
        """Return where the connections of a route go, for people."""
        return "the cluster's API server" if route.upstream.startswith(f"{SCHEME}:") else route.upstream

    def status(self, route: Route) -> Status:
        """Compare what the process serves with `route`."""
        mine = routes.find(routes.load(self.home.relay), route.name)
        if mine is None:
            return Status(State.ABSENT)
        if mine != replace(route, since=mine.since):
            return Status(State.DRIFTED, "the route has another target")
        serving = running(self.home.relay)
        reason = self._not_served(serving) or _not_heard(route, serving)
        return Status(State.DRIFTED, reason) if reason else Status(State.READY, f"*.{route.domain}")

    def publish(self, route: Route, kubectl: Path) -> None:
        """Serve a sandbox by `route`, with the program `kubectl`, and return when the relay listens.

        Raises SandboxError.
        """
        folder = self.home.relay
        files.make_private_dir(folder)
        with files.exclusive(folder):
            self._link(kubectl)
            mine = routes.find(routes.load(folder), route.name)
            wanted = replace(route, since=mine.since if mine else time.time())
            routes.require_unclaimed(wanted, routes.load(folder))
            routes.save(folder, wanted)
            state = running(folder)
            if state is not None and state.version != __version__:
                daemon.end(record(folder))
            if daemon.find(record(folder)) is None:
                self._start()
            wait_until(lambda: self._silence(wanted), what="the relay", timeout=TIMEOUT, pause=0.05)

    def withdraw(self, name: str) -> bool:
        """Stop serving the sandbox `name`; returns whether it was served."""
        folder = self.home.relay
        if not folder.exists():
            return False
        with files.exclusive(folder):
            removed = routes.remove(folder, name)
            if routes.load(folder):
                return removed
            ended = daemon.end(record(folder))
            forget(folder)
            self.home.kubectl.unlink(missing_ok=True)
            return ended or removed

    def _link(self, kubectl: Path) -> None:
        """Give the process a link named `kubectl`: the bundle's program for all of Kubernetes goes by its name."""
        link = self.home.kubectl
        link.unlink(missing_ok=True)
        link.symlink_to(kubectl)

    def _start(self) -> None:
        folder = self.home.relay
        if self.log.exists() and self.log.stat().st_size > LARGEST_LOG:
            self.log.unlink()
        (folder / "state.json").unlink(missing_ok=True)
        from sandbox.components.edge.relay import relay_process  # and asyncio with it

        daemon.start(relay_process.argv(folder), log_to=self.log, record=record(folder))

    def _not_served(self, state: Serving | None) -> str | None:
        """Return why the process does not follow the present routes, or None when it does."""
        if state is None:
            return f"its process does not run; its log is {self.log}"
        if state.version != __version__:
            return f"runs {state.version}"
        if state.routes != digest(routes.load(self.home.relay)):
            return "has not read the routes yet"
        return None

    def _silence(self, route: Route) -> str | None:
        folder = self.home.relay
        if daemon.find(record(folder)) is None:
            said = self.log.read_text(errors="replace", encoding="utf-8")[-2000:] if self.log.exists() else ""
            raise SandboxError("the relay stopped", details=said, id="stopped")
        state = running(folder)
        pending = self._not_served(state)
        if pending is None and (unheard := _not_heard(route, state)):
            raise SandboxError(f"the relay {unheard}", fix="sandbox up --https-port auto", id="port-in-use")
        return pending


def _not_heard(route: Route, state: Serving | None) -> str | None:
    """Return where the process cannot listen, and why; None if it listens on every port of `route`."""
    for address, port in (*route.listen, *((one.address, one.port) for one in route.tunnels)):
        if state is None or (address, port) not in state.listening:
            reason = state.trouble.get(f"{address}:{port}", "unknown") if state else "unknown"
            return f"does not listen on {host_network.authority(address, port)}: {reason}"
    return None
