"""What `up` does before its first change: agree on the spec, reserve its ports, check every step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from sandbox.app import context, machine_plan, requirements
from sandbox.app.agreement import agree_on_origin, agree_on_own_name
from sandbox.app.edge import ports
from sandbox.app.machine_plan import explaining, keeping
from sandbox.app.project import spec_check
from sandbox.components.network import proxy_settings
from sandbox.config.schema import ResolvedSpec
from sandbox.engine import Engine
from sandbox.errors import UsageError
from sandbox.plan import lifecycle
from sandbox.plan.lifecycle import Found
from sandbox.step import Rebuildable, State, Step

if TYPE_CHECKING:
    from sandbox.app.core import Sandbox


@contextmanager
def surveyed(
    sandbox: Sandbox, recreate: Collection[str], prepared: Callable[[Sequence[Step]], Sequence[Step]] = tuple
) -> Iterator[tuple[ResolvedSpec, Found]]:
    """Lock the sandbox, agree on its spec, reserve its ports, and check every step. Raises SandboxError."""
    home, names, session, spec = context.home(), sandbox.names, sandbox.session, sandbox.spec
    chosen, agreement = sandbox.chosen, sandbox.agreement
    with session.alone(sandbox.name, "up"):
        agree_on_own_name(names, chosen, agreement)
        agree_on_origin(names, chosen.origin, "up", agreement)
        if not names.spec.exists():
            sandbox.note_earlier_names()
        if chosen.fetched:
            chosen.fetched.require_no_data(spec)
        engine = Engine.connect()
        if spec.cluster.supports.whole_cluster:
            requirements.require_engine(engine)
        if existing := agreement.existing_cluster(chosen.spec, chosen.file, home, engine):
            spec = existing.adopted_by(spec)
        spec_check.require_files(spec)
        context.trust(spec)
        requirements.provide_tools(spec, home, session, agreement)
        if spec.network.proxy == "auto" and spec.cluster.supports.whole_cluster:
            for fault in proxy_settings.faults(context.environ()):
                session.say(f"nodes and pods get no such proxy: {fault}")
        with ExitStack() as looking, ExitStack() as reserved:
            looking.enter_context(keeping(engine, names))
            resolved = reserved.enter_context(ports.reserve(spec, home, engine))
            steps, engine, own = machine_plan.steps(resolved, origin=chosen.origin)
            requirements.require(resolved, home, own)
            requirements.require_inotify(resolved, engine, names, agreement)
            rebuildable = [step.name for step in steps if isinstance(step, Rebuildable)]
            for name in recreate:
                if name not in rebuildable:
                    raise UsageError(f"--recreate knows no step '{name}'", fix=f"one of {', '.join(rebuildable)}")
            for note in spec_check.host_notes(resolved):
                session.say(note)
            with explaining(resolved):
                statuses = lifecycle.survey(prepared(steps), session.report)
                for step, status in statuses:  # the caller may have meant these to be recreated in any case
                    if step.name in recreate and status.state in (State.READY, State.DRIFTED):
                        session.say(f"{step.title} stays: the spec needs no other")
                looking.close()  # from here on things change
                yield resolved, statuses
