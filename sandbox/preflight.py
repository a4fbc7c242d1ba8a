"""What must be true before anything is made: tools new enough, ports free, a place for the images to come from."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.cluster.kind import Kind
from sandbox.errors import MissingTool, SandboxError, UsageError
from sandbox.host import ports, process
from sandbox.host.engine import Bind, Engine
from sandbox.names import EDGE, LABEL, NETWORK, Home
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
    ours = {
        bind for one in engine.containers(LABEL) if one.running for binds in one.published.values() for bind in binds
    }
    wanted = [
        (Bind("127.0.0.1", spec.registry.port), "registry: {port: %d}", "--registry-port %d"),
        *((Bind(spec.proxy.listen, port), "proxy: {ports: [%d]}", "--https-port %d") for port in spec.proxy.ports),
    ]
    mine = home.sandbox(spec.name).registry
    theirs = {
        bind: one.name
        for one in engine.containers(LABEL)
        if one.name not in (mine, EDGE)
        for binds in one.published.values()
        for bind in binds
    }
    for bind, key, option in wanted:
        if bind in theirs or (bind not in ours and not ports.is_free(bind.address, bind.port)):
            yield _problem(bind, theirs.get(bind) or ports.holder(bind.port), key, option, engine)


def _problem(bind: Bind, holder: str | None, key: str, option: str, engine: Engine) -> PortTaken:
    container = engine.publisher(bind.port)
    held = f"container {container}" if container else holder or "a process of another user"
    free = ports.next_free(bind.address, bind.port)
    return PortTaken(
        f"port {bind.port} on {bind.address} is taken",
        details=f"held by {held}; nothing was changed",
        fix=f"stop it, or use another port: sandbox up {option % free}   (in sandbox.yaml: {key % free})",
    )
