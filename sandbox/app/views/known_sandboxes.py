"""Lists the sandboxes of this machine; imports little, since `list` runs often and in other programs."""

import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sandbox.app import context
from sandbox.components.edge.route import damaged
from sandbox.config import untyped
from sandbox.config.checkout import branch_of
from sandbox.engine import Engine, ListedContainer, labelled
from sandbox.errors import SandboxError
from sandbox.names import LABEL, Names
from sandbox.plan import saved_spec
from sandbox.system import files

KIND_CLUSTER, MINIKUBE_PROFILE = "io.x-k8s.kind.cluster", "name.minikube.sigs.k8s.io"


@dataclass(frozen=True)
class Known:
    """A sandbox of this machine; `cluster` is the state of its nodes, `existing`, or `elsewhere`: on another engine.

    `folder` has its spec, and `branch` is checked out there; it may be `gone`. `memory` of its containers is in bytes.
    """

    name: str
    cluster: str
    domain: str
    folder: str = ""
    branch: str = ""
    gone: bool = False
    memory: int = 0


def sandboxes() -> tuple[Known, ...]:
    """List the sandboxes of this machine, by name: those with a container or a route. Raises SandboxError."""
    home, engine = context.home(), Engine.connect()
    known = _routed(home.edge)
    containers = engine.listed()
    ours = {container.labels.get(LABEL) for container in containers if labelled.is_ours(container.labels, home)}
    states = {each.name: each.state for each in containers}
    memory = _memory(engine, containers)
    rows = []
    for name in sorted({name for name in ours if name} | known.keys()):
        names = home.sandbox(name)
        node = saved_spec.control_plane(names)
        state = _state(states.get(node)) if node else "existing"
        if state == "absent" and saved_spec.other_engine(names):
            state = "elsewhere"
        folder = saved_spec.folder(names)
        branch, gone = (branch_of(folder), _is_gone(folder)) if folder else ("", False)
        shown = str(folder or "")
        rows.append(Known(name, state, known.get(name, ""), shown, branch, gone, memory[names.cluster]))
    return tuple(rows)


def _routed(edge: Path) -> dict[str, str]:
    # Not the whole routes: to import their model takes longer than all of `list` without it.
    domains = {}
    for path in sorted(edge.glob("routes/*.json")):
        try:
            domains[path.stem] = str(untyped.at(files.read_json(path), "domain") or "")
        except FileNotFoundError:  # another command has removed it
            continue
        except (OSError, ValueError) as error:
            raise damaged(path, error) from error
    return domains


def _is_gone(folder: Path) -> bool:
    try:
        return not stat.S_ISDIR(folder.stat().st_mode)
    except OSError as error:  # others say nothing of the folder, such as those of a server that does not answer
        return isinstance(error, FileNotFoundError | NotADirectoryError)


def cluster_of(labels: Mapping[str, str]) -> str:
    """Return the kind cluster or minikube profile whose node has these labels; empty for other containers."""
    return labels.get(KIND_CLUSTER) or labels.get(MINIKUBE_PROFILE) or ""


def _memory(engine: Engine, containers: Sequence[ListedContainer]) -> Counter[str]:
    def used(name: str) -> int:
        with suppress(SandboxError):  # it may have ended meanwhile
            return engine.memory(name)
        return 0

    clusters: dict[str, str] = {}
    for container in containers:
        labels = container.labels
        own = f"sandbox-{name}" if (name := labels.get(LABEL)) else ""
        cluster = own or cluster_of(labels)
        if cluster and container.state in ("running", "paused"):
            clusters[container.name] = cluster
    memory: Counter[str] = Counter()
    with ThreadPoolExecutor(8) as pool:
        for cluster, size in zip(clusters.values(), pool.map(used, clusters), strict=True):
            memory[cluster] += size
    return memory


def _state(node: str | None) -> str:
    if node is None:
        return "absent"
    return node if node in ("running", "paused") else "stopped"


def not_up(name: str, details: str) -> SandboxError:
    """Return the error of a command that needs the sandbox's containers or its cluster, which does not answer."""
    state, command = ("stopped", "start") if is_stopped(name) else ("not up", "up")
    return SandboxError(
        f"the sandbox '{name}' is {state}", details=details, fix=f"sandbox {command} {name}", id="not-up"
    )


def is_stopped(name: str) -> bool:
    node = saved_spec.control_plane(context.home().sandbox(name))
    if node is None:
        return False
    states = {each.name: each.state for each in Engine.connect().listed()}
    return _state(states.get(node)) == "stopped"


def require_known(name: str) -> None:
    """Raise UsageError for a name that neither this user's folders nor the engine, as far as it answers, know."""
    names = context.home().sandbox(name)
    if labelled.knows(names):
        return
    try:
        known = {sandbox.name for sandbox in sandboxes()}
    except SandboxError:
        return
    if name not in known:
        from sandbox.app import chosen_spec  # and the schema of specs, which `list` does without

        raise chosen_spec.unknown(name)


def require_up(names: Names) -> None:
    from sandbox.kube.api import trouble_of

    if (trouble := trouble_of(names.kubeconfig)) is not None:
        raise not_up(names.name, trouble)
