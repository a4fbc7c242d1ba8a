"""What must be true before anything is made: tools new enough, ports free, a place for the images to come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.cluster.kind import Kind
from sandbox.errors import MissingTool, SandboxError, UsageError
from sandbox.host import ports, process
from sandbox.host.engine import Bind, Container, Engine
from sandbox.names import EDGE, LABEL, NETWORK, Home
from sandbox.proxy import routes
from sandbox.spec import Spec


class PortTaken(SandboxError):
    """A port that the sandbox is to listen on belongs to somebody else."""

    id = "port-in-use"


def require(spec: Spec, home: Home, engine: Engine, kubernetes: str) -> None:
    """Raise the first reason why `up` could not work; changes nothing."""
    if process.which("docker") is None:
        raise MissingTool(
            "the docker command is not installed",
            details="kind drives the engine with it",
            fix="install it: the package docker-cli or docker.io on Debian and Ubuntu",
        )
    Kind.find(NETWORK, extra=Store(home.bundle).program(recipes()["kind"], "kind").parent).require()
    if spec.cluster.kubernetes not in (None, kubernetes):
        raise UsageError(
            f"Kubernetes {spec.cluster.kubernetes} is not available",
            details=f"the node image here runs {kubernetes}",
            fix=f"write `kubernetes: {kubernetes}` in the spec's `cluster`, or leave it out",
        )
    for problem in _taken(spec, home, engine):
        raise problem


def _taken(spec: Spec, home: Home, engine: Engine) -> Iterator[PortTaken]:
    wanted = [
        (
            home.sandbox(spec.name).registry,
            Bind("127.0.0.1", spec.registry.port),
            "registry: {port: %d}",
            "--registry-port %d",
        ),
        *(
            (EDGE, Bind(spec.proxy.listen, port), "proxy: {ports: [%d]}", "--https-port %d")
            for port in spec.proxy.ports
        ),
    ]
    ours = engine.containers(LABEL)
    for owner, bind, key, option in wanted:
        holders = [one for one in ours if any(bind in binds for binds in one.published.values())]
        if any(one.name == owner and one.running for one in holders):
            continue
        other = next((f"container {one.name}" for one in holders if one.name != owner), None)
        if not other and (
            ports.is_free(bind.address, bind.port) or (owner == EDGE and _gives_up(bind.port, spec, home, ours))
        ):
            continue
        yield _problem(bind, other or ports.holder(bind.port), key, option, engine)


def _gives_up(port: int, spec: Spec, home: Home, ours: Iterable[Container]) -> bool:
    """Whether the edge holds the port on another address, for this sandbox alone, and so will start without it."""
    held = {
        bind.port
        for one in ours
        if one.name == EDGE and one.running
        for each in one.published.values()
        for bind in each
    }
    others = (route for route in routes.load(home.edge) if route.name != spec.name)
    return port in held and all(port != theirs for route in others for _, theirs in route.listen)


def _problem(bind: Bind, holder: str | None, key: str, option: str, engine: Engine) -> PortTaken:
    container = engine.publisher(bind.port)
    held = f"container {container}" if container else holder or "a process of another user"
    free = ports.next_free(bind.address, bind.port)
    return PortTaken(
        f"port {bind.port} on {bind.address} is taken",
        details=f"held by {held}; nothing was changed",
        fix=f"stop it, or use another port: sandbox up {option % free}   (in sandbox.yaml: {key % free})",
    )
