"""Which sandboxes there are on this machine; imports little, since `list` is asked often and by other programs."""

from __future__ import annotations

from sandbox.app import context
from sandbox.components.edge import routes
from sandbox.engine import Container, Engine, labelled
from sandbox.errors import SandboxError, UsageError
from sandbox.fast_dataclass import dataclass
from sandbox.names import LABEL
from sandbox.plan import providers


@dataclass(frozen=True)
class Known:
    """A sandbox of this machine; `cluster` is the state of its nodes, or `existing`."""

    name: str
    cluster: str
    domain: str


def sandboxes() -> tuple[Known, ...]:
    """List the sandboxes of this machine, by name: those with a container or a route. Raises SandboxError."""
    home, engine = context.home(), Engine.connect()
    known = {route.name: route.domain for folder in (home.edge, home.passthrough) for route in routes.load(folder)}
    ours = labelled.containers(engine, home)
    names = sorted({one.labels[LABEL] for one in ours if one.labels[LABEL]} | known.keys())
    found = []
    for name in names:
        node = providers.control_plane(home.sandbox(name))
        state = _state(engine.container(node)) if node else "existing"
        found.append(Known(name, state, known.get(name, "")))
    return tuple(found)


def _state(node: Container | None) -> str:
    """Return how a cluster stands by its control plane, as `Standing` says it."""
    if node is None:
        return "absent"
    return "running" if node.running else "paused" if node.held else "stopped"


def require_known(name: str) -> None:
    """Raise UsageError for a name that neither this user's folders nor the engine, as far as it answers, knows."""
    names = context.home().sandbox(name)
    if names.folder.exists() or names.keys.exists():
        return
    try:
        known = {one.name for one in sandboxes()}
    except SandboxError:
        return
    if name not in known:
        raise UsageError(
            f"there is no sandbox '{name}'",
            fix="list all with: sandbox list; create one with: sandbox up",
            id="no-sandbox",
        )
