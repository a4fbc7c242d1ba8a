"""Saves a sandbox with all its data as a snapshot, and restores one."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from sandbox.app import chosen_spec, context, pausing
from sandbox.app.core import Sandbox
from sandbox.app.session import restoring
from sandbox.components.cluster.kind import provider as kind_provider
from sandbox.engine import Engine, labelled
from sandbox.errors import MissingTool, SandboxError
from sandbox.quantities import megabytes
from sandbox.snapshot import snapshot_save
from sandbox.snapshot.snapshot_store import Manifest, Store


def store() -> Store:
    return Store(context.home().snapshots)


def save(sandbox: Sandbox, snapshot: str | None) -> None:
    """Save the sandbox, running or stopped, as `snapshot` (default: the present time). Raises SandboxError."""
    chosen_spec.require_kind(sandbox.spec, "sandbox snapshot save")
    names, session = sandbox.names, sandbox.session
    if chosen_spec.remembered(names.name) is None:
        with suppress(MissingTool):
            labelled.require(Engine.connect(), names)  # names the user who has it
        raise chosen_spec.unknown(names.name)
    chosen = snapshot or datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    with sandbox.alone("snapshot"):
        pausing.watch(names, sandbox.spec.pause_seconds)  # wakes the sandbox at its next use if this command is killed
        engine = Engine.connect()
        nodes = kind_provider.nodes(engine, names).all()
        with session.task(f"Snapshot {chosen} of {names.name}") as task:
            task.done = megabytes(snapshot_save.save(engine, names, nodes, store(), chosen, task.say).bytes)


def restore(sandbox: Sandbox, snapshot: str | None, agree: Callable[[Manifest], None]) -> None:
    """Restore `snapshot`, by default the newest one, and start it.

    `agree` is called before an existing sandbox is replaced, and raises if it must not be. Raises SandboxError.
    """
    chosen_spec.require_own_cluster(sandbox.spec, "a snapshot")
    names, session = sandbox.names, sandbox.session
    with sandbox.alone("restore"):
        engine = Engine.connect()
        manifest = store().find(names.name, snapshot)
        if kind_provider.nodes(engine, names).all() or engine.volume_labels(names.volume) is not None:
            agree(manifest)
        with session.task(f"Snapshot {manifest.snapshot} of {names.name}") as task:
            restoring(names, engine).restore(manifest, task.say)
            task.done = "restored"
        try:
            sandbox.start_locked()
        except SandboxError as error:  # such as a port that another program has taken since
            error.add_note(f"the snapshot is restored, and not started: sandbox start {names.name}")
            raise


def delete(sandbox: Sandbox, snapshot: str) -> None:
    with sandbox.alone("delete", anywhere=True):
        store().delete(sandbox.name, snapshot)
