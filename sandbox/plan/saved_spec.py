"""Keeps what the last `up` had: the spec, where it came from, and the engine; a sandbox is started by its name alone.

A user may have several engines, and has one state folder for all, which names, ports, certificates and the kubeconfig
are of. So a sandbox of the same name on another engine would take those of the first, which goes on running.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.config import untyped
from sandbox.engine import Engine, endpoint
from sandbox.errors import SandboxError, UsageError
from sandbox.names import Home, Names
from sandbox.step import State, Status, Work
from sandbox.system import files

if TYPE_CHECKING:
    from sandbox.config.schema import ResolvedSpec
    from sandbox.config.schema.origin_schema import Origin


@dataclass(frozen=True)
class RememberedStep:
    """The spec in a file that only the user can read (a proxy's URL may hold a password); removed with the sandbox."""

    names: Names
    spec: ResolvedSpec
    name: str = "spec"
    requires: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"Spec of {self.spec.name}"

    def check(self) -> Status:
        try:
            before = load(self.names)
        except SandboxError as error:
            return Status(State.DRIFTED, error.brief)
        if before is None:
            return Status(State.ABSENT)
        changed = [name for name, value in self.spec if getattr(before, name) != value]
        return Status(State.DRIFTED, f"other {', '.join(changed)}") if changed else Status(State.READY)

    def apply(self, work: Work) -> None:
        save(self.names, self.spec)

    def undo(self) -> bool:
        self.names.spec.unlink(missing_ok=True)
        self.names.charts.unlink(missing_ok=True)  # the releases were removed with the cluster
        shutil.rmtree(self.names.rendered_charts, ignore_errors=True)
        _forget_origin(self.names)
        return False  # nothing that users would miss


def save(names: Names, spec: ResolvedSpec) -> None:
    files.write_private(names.spec, spec.model_dump_json(indent=2).encode() + b"\n")


def load(names: Names) -> ResolvedSpec | None:
    """Load the saved spec of a sandbox; None when there is none. Raises SandboxError if it is damaged."""
    from pydantic import ValidationError

    from sandbox.config.schema import ResolvedSpec

    try:
        return ResolvedSpec.read(names.spec.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        # Not the error itself, which the log would show: a proxy's URL may hold a password.
        flaws = error.errors(include_input=False)
        why = "\n".join(f"{'.'.join(map(str, flaw['loc']))} {flaw['msg']}".strip() for flaw in flaws)
    except (OSError, ValueError) as error:
        why = str(error)
    raise SandboxError(
        f"the saved spec in {names.spec} cannot be read",
        details=why,
        fix="sandbox up -f FILE, with the sandbox's own file, saves it again",
        id="remembered-spec",
    )


def control_plane(names: Names) -> str | None:
    """Return the control plane's container by the spec of the last `up`; None for an existing cluster.

    Reads no more of the spec: importing its models takes longer than all of `list` without them.
    """
    cluster = untyped.mapping(_read(names.spec), "cluster")
    match cluster.get("provider"):
        case "existing":
            return None
        case "minikube":
            return str(cluster.get("profile") or names.cluster)
    return names.node


def namespace(names: Names) -> str | None:
    """Return the only namespace that the sandbox may use, by the spec of the last `up`; None for a whole cluster.

    Raises SandboxError.
    """
    spec = None if control_plane(names) else load(names)
    return spec.namespace if spec else None


def kubectl(names: Names) -> str:
    """Return how kubectl is called for the cluster; of an existing one, the user's kubeconfig gets no context."""
    if control_plane(names):
        return f"kubectl --context {names.cluster}"
    return f"kubectl --kubeconfig {shlex.quote(str(names.kubeconfig))}"


def origin(names: Names) -> Origin | None:
    from sandbox.config.schema.origin_schema import Origin

    try:
        return Origin.model_validate_json(names.origin.read_bytes())
    except (OSError, ValueError):  # pydantic's errors are ValueErrors
        return None


def is_of_another_file(names: Names, where: Origin) -> bool:
    """Return whether another file brought the sandbox up that is still there: not one that was moved."""
    before = origin(names) if names.spec.exists() else None
    if before is None or before.kind != "file" or where.may_replace(before):
        return False
    return os.path.lexists(before.source)


def folder(names: Names) -> Path | None:
    """Return the folder with the file of the last `up`, if there was one. Imports no models, as `control_plane`."""
    content = _read(names.origin)
    source = untyped.at(content, "source")
    return Path(str(source)).parent if source and untyped.at(content, "kind") == "file" else None


def _read(path: Path) -> Any:
    try:
        return files.read_json(path)
    except (OSError, ValueError):
        return None


def record_origin(names: Names, where: Origin) -> None:
    files.write_private(names.origin, where.model_dump_json(indent=2).encode() + b"\n")


def names_from(home: Home, where: Origin | None) -> tuple[str, ...]:
    if where is None or not where.source:
        return ()
    saved = ((sandbox, origin(sandbox)) for sandbox in home.known() if sandbox.spec.exists())
    return tuple(
        sandbox.name
        for sandbox, before in saved
        if before and (before.kind, before.source) == (where.kind, where.source)
    )


@contextlib.contextmanager
def coming_from(names: Names, where: Origin | None) -> Iterator[None]:
    """Record where the spec comes from while the block brings the sandbox up; if no sandbox results, forget it."""
    if where is not None and where != origin(names):
        record_origin(names, where)
    try:
        yield
    finally:
        if not names.spec.exists():
            _forget_origin(names)


def _forget_origin(names: Names) -> None:
    names.origin.unlink(missing_ok=True)
    names.engine.unlink(missing_ok=True)
    files.sweep_below(names.folder)
    files.remove_empty(names.folder)


def engine_of(engine: Engine) -> dict[str, str]:
    """Return an engine's id, and its address in the form of DOCKER_HOST, without a password. Raises EngineError."""
    return {"id": engine.id(), "address": _shown(engine.address)}


def recorded_engine(names: Names) -> dict[str, str] | None:
    content = _read(names.engine)
    used = {key: untyped.at(content, key) for key in ("id", "address")}
    return {key: str(value) for key, value in used.items()} if None not in used.values() else None


def record_engine(names: Names, engine: dict[str, str]) -> None:
    if engine != recorded_engine(names):
        files.write_private(names.engine, json.dumps(engine).encode())


def _present_address() -> str:
    return _shown(endpoint.find().url)


def _shown(address: str) -> str:
    return re.sub(r":[^/\s]*@", "@", address)  # a password may have a @, though it should not


def other_engine(names: Names) -> str | None:
    """Return the address of the engine of the last `up`, if it is another than commands use now.

    An engine at the same address that has another id was replaced or reset: there is no second one. Raises SandboxError
    for an engine at another address that does not answer.
    """
    used = recorded_engine(names)
    if used is None or used["address"] == _present_address() or used["id"] == Engine.connect().id():
        return None
    return used["address"]


def require_engine(names: Names) -> None:
    """Raise UsageError for a sandbox that was brought up on another engine."""
    if before := other_engine(names):
        raise UsageError(
            f"'{names.name}' was brought up on another engine",
            details=f"before  {before}\nnow     {_present_address()}; nothing was changed",
            fix=f"DOCKER_HOST={shlex.quote(before)} sandbox …, or give this one another name; if that engine is gone: "
            f"sandbox down {names.name}",
            id="other-engine",
        )
