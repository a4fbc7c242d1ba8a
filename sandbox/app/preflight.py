"""What `up` does before its first change: agree on the spec, reserve its ports, check every step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from sandbox.app import context, machine_plan, ports, requirements, spec_files
from sandbox.app.agreement import Agreement, agree_on_origin, agree_on_own_name
from sandbox.app.chosen_spec import ChosenSpec
from sandbox.app.core import Sandbox, explaining, keeping, survey
from sandbox.app.ports import PortTaken
from sandbox.app.project import checkouts
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.engine import Engine
from sandbox.errors import UsageError
from sandbox.names import Home
from sandbox.plan import saved_spec
from sandbox.plan.lifecycle import Found
from sandbox.plan.used_engine import UsedEngine
from sandbox.step import Rebuildable, State, Step


@dataclass(frozen=True)
class Surveyed:
    """The plan of an `up`, with the result of every check."""

    spec: ResolvedSpec
    steps: Sequence[Step]
    found: Found
    engine: UsedEngine


@dataclass(frozen=True)
class Preflight:
    """What comes before the first change to a sandbox, whose spec was `chosen`; `agreement` is asked for consent.

    With `only_plan` no change follows.
    """

    sandbox: Sandbox
    chosen: ChosenSpec
    agreement: Agreement
    only_plan: bool = False

    @contextmanager
    def surveyed(
        self, recreate: Collection[str], prepared: Callable[[Sequence[Step]], Sequence[Step]] = tuple
    ) -> Iterator[Surveyed]:
        """Lock the sandbox, agree on its spec, reserve its ports, and check every step. Raises SandboxError."""
        home, sandbox = context.home(), self.sandbox
        with sandbox.session.alone(sandbox.name, "up"):
            spec, engine = self._agreed(home)
            spec_files.require(spec)
            context.trust(spec)
            self._note_proxy(spec)
            with ExitStack() as looking, ExitStack() as held:
                looking.enter_context(keeping(engine, sandbox.names))
                with self._naming_earlier():
                    resolved = held.enter_context(ports.reserve(spec, home, engine))
                steps, engine, own = machine_plan.steps(resolved, origin=self.chosen.origin)
                if resolved.cluster.supports.containers:
                    requirements.require_architecture(engine, own)
                requirements.require(resolved, home, own)
                _require_known(recreate, steps)
                with explaining(resolved):
                    steps = tuple(prepared(steps))
                    found = survey(steps, engine, sandbox.names, sandbox.session.report)
                    self._note_needless(recreate, found)
                    used = UsedEngine.of(engine)
                    looking.close()  # from here on things change
                    yield Surveyed(resolved, steps, found, used)

    def _agreed(self, home: Home) -> tuple[Spec, Engine]:
        sandbox, chosen, spec = self.sandbox, self.chosen, self.sandbox.spec
        agree_on_own_name(sandbox.names, chosen, self.agreement)
        agree_on_origin(sandbox.names, chosen.origin, "up", self.agreement)
        if not sandbox.names.spec.exists():
            sandbox.note_earlier_names()
        if chosen.fetched:
            checkouts.require_no_data(spec, chosen.fetched.root)
        engine = Engine.connect()
        if spec.cluster.supports.whole_cluster:
            requirements.require_engine(engine)
        existing = self.agreement.existing_cluster(chosen.spec, chosen.file, home, engine)
        return existing.adopted_by(spec) if existing else spec, engine

    @contextmanager
    def _naming_earlier(self) -> Iterator[None]:
        try:
            yield
        except PortTaken as error:
            if error.holder in saved_spec.earlier_names(self.sandbox.names, self.chosen.origin):
                error.details += f"\n'{error.holder}' was brought up from this spec before its `name` was changed"
            raise

    def _note_needless(self, recreate: Collection[str], found: Found) -> None:
        """Name the steps among `recreate` that stay: the caller may have meant them to be recreated in any case."""
        another = {
            "cluster": f"sandbox down {self.sandbox.name}, then up",
            "certificates": "sandbox certs renew --root",
        }
        for step, status in found:
            if step.name in recreate and status.state in (State.READY, State.DRIFTED):
                self.sandbox.session.say(
                    f"{step.title} stays: the spec needs no other; to make one: {another[step.name]}"
                )

    def _note_proxy(self, spec: Spec) -> None:
        if spec.network.proxy == "auto" and spec.cluster.supports.whole_cluster:
            from sandbox.components.network import proxy_settings

            for fault in proxy_settings.faults(context.environ()):
                self.sandbox.session.say(f"nodes and pods get no such proxy: {fault}")


def _require_known(recreate: Collection[str], steps: Sequence[Step]) -> None:
    """Raise UsageError for a step that the sandbox does not have or that is never recreated."""
    names = [step.name for step in steps if isinstance(step, Rebuildable)]
    for wanted in recreate:
        if wanted not in names:
            raise UsageError(f"--recreate knows no step '{wanted}'", fix=f"one of {', '.join(names)}")
