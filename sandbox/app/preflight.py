"""What `up` does before its first change: agree on the spec, reserve its ports, check every step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.app import context, machine_plan, requirements
from sandbox.app.agreement import Agreement, agree_on_origin, agree_on_own_name
from sandbox.app.chosen_spec import ChosenSpec
from sandbox.app.edge import ports
from sandbox.app.edge.ports import PortTaken
from sandbox.app.machine_plan import explaining, keeping, survey
from sandbox.app.project import missing_tools, spec_check, spec_files
from sandbox.components.network import proxy_settings
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.engine import Engine
from sandbox.errors import UsageError
from sandbox.plan import saved_spec
from sandbox.plan.lifecycle import Found
from sandbox.plan.used_engine import UsedEngine
from sandbox.step import Rebuildable, State, Step

if TYPE_CHECKING:
    from sandbox.app.core import Sandbox

Prepared = Callable[[Sequence[Step]], Sequence[Step]]


@dataclass(frozen=True)
class Surveyed:
    """The plan of an `up`, with the result of every check."""

    spec: ResolvedSpec
    steps: Sequence[Step]
    found: Found
    engine: UsedEngine


@contextmanager
def surveyed(
    sandbox: Sandbox, chosen: ChosenSpec, agreement: Agreement, recreate: Collection[str], prepared: Prepared = tuple
) -> Iterator[Surveyed]:
    """Lock the sandbox, agree on its spec, reserve its ports, and check every step. Raises SandboxError."""
    home, names, session = context.home(), sandbox.names, sandbox.session
    with session.alone(sandbox.name, "up"):
        agree_on_own_name(names, chosen, agreement)
        agree_on_origin(names, chosen.origin, "up", agreement)
        if not names.spec.exists():
            sandbox.note_earlier_names()
        spec, engine = _agreed_spec(sandbox, chosen, agreement)
        spec_files.require(spec)
        context.trust(spec)
        missing_tools.provide(spec, home, session, agreement)
        if spec.network.proxy == "auto" and spec.cluster.supports.whole_cluster:
            for fault in proxy_settings.faults(context.environ()):
                session.say(f"nodes and pods get no such proxy: {fault}")
        with ExitStack() as looking, ExitStack() as held:
            looking.enter_context(keeping(engine, names))
            with _naming_earlier(sandbox, chosen):
                resolved = held.enter_context(ports.reserve(spec, home, engine))
            steps, engine, own = machine_plan.steps(resolved, origin=chosen.origin)
            if resolved.cluster.supports.containers:
                requirements.require_architecture(engine, own)
            requirements.require(resolved, home, own)
            _require_rebuildable(recreate, steps)
            for note in spec_check.host_notes(resolved):
                session.say(note)
            with explaining(resolved):
                steps = tuple(prepared(steps))
                found = survey(steps, engine, names, session.report)
                _note_needless(sandbox, recreate, found)
                used = UsedEngine.of(engine)
                looking.close()  # from here on things change
                yield Surveyed(resolved, steps, found, used)


def _agreed_spec(sandbox: Sandbox, chosen: ChosenSpec, agreement: Agreement) -> tuple[Spec, Engine]:
    """Return the spec, perhaps with the user's own cluster instead of a new one, and the engine."""
    spec = sandbox.spec
    if chosen.fetched:
        chosen.fetched.require_no_data(spec)
    engine = Engine.connect()
    if spec.cluster.supports.whole_cluster:
        requirements.require_engine(engine)
    existing = agreement.existing_cluster(chosen.spec, chosen.file, context.home(), engine)
    return existing.adopted_by(spec) if existing else spec, engine


@contextmanager
def _naming_earlier(sandbox: Sandbox, chosen: ChosenSpec) -> Iterator[None]:
    try:
        yield
    except PortTaken as error:
        if error.holder in saved_spec.earlier_names(sandbox.names, chosen.origin):
            error.details += f"\n'{error.holder}' was brought up from this spec before its `name` was changed"
        raise


def _note_needless(sandbox: Sandbox, recreate: Collection[str], found: Found) -> None:
    """Name the steps among `recreate` that stay: the caller may have meant them to be recreated in any case."""
    another = {"cluster": f"sandbox down {sandbox.name}, then up", "certificates": "sandbox certs renew --root"}
    for step, status in found:
        if step.name in recreate and status.state in (State.READY, State.DRIFTED):
            sandbox.session.say(f"{step.title} stays: the spec needs no other; to make one: {another[step.name]}")


def _require_rebuildable(recreate: Collection[str], steps: Sequence[Step]) -> None:
    """Raise UsageError for a step that the sandbox does not have or that is never recreated."""
    names = [step.name for step in steps if isinstance(step, Rebuildable)]
    for name in recreate:
        if name not in names:
            raise UsageError(f"--recreate knows no step '{name}'", fix=f"one of {', '.join(names)}")
