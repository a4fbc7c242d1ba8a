"""Checks a plan whose cluster may run: each node is asked by one command for all that the checks will need."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from functools import partial

from sandbox.components.cluster.steps import ClusterStep
from sandbox.engine import Engine
from sandbox.engine.questions import Question
from sandbox.errors import MissingTool, SandboxError, UsageError
from sandbox.plan import lifecycle
from sandbox.plan.lifecycle import Found
from sandbox.provider import Asking, Standing
from sandbox.report import Reporter, Silent
from sandbox.step import State, Step
from sandbox.system.wait import WaitTimeout, wait_until

ENDING = 15.0  # seconds; engines kill a container that has not ended after ten
NOT_RUN = 126  # the lowest exit status of a program that was not begun, or was killed (POSIX)


def survey(plan: Sequence[Step], engine: Engine, report: Reporter) -> Found:
    """Check every step in a glance at the engine; `report` is told of a check that failed.

    What is found of a cluster, or fails, because a node ends meanwhile does not count, and all is checked again: the
    engine still works on a `stop` that was killed. Raises SandboxError.
    """
    before = _ask_nodes(plan)
    if not before:
        return lifecycle.survey(plan, report)
    failed = _Failed()
    try:
        found = lifecycle.survey(plan, failed, at_once=True)
        if _is_whole(found) or not _has_ended(plan, engine, before):
            return found
    except SandboxError as error:
        if isinstance(error, UsageError | MissingTool) or not _has_ended(plan, engine, before):
            for step, brief in failed.told:
                report.failed(step, brief)
            raise
    return lifecycle.survey(plan, report, at_once=bool(_ask_nodes(plan)))


def _is_whole(found: Found) -> bool:
    return all(status.state is State.READY for step, status in found if isinstance(step, ClusterStep))


class _Failed(Silent):
    """Keeps what failed, as long as it may not count."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def failed(self, step: str, brief: str) -> None:
        self.told.append((step, brief))


def _has_ended(plan: Sequence[Step], engine: Engine, before: Collection[str]) -> bool:
    """Tell whether one of the nodes that ran `before` does not any more, after waiting for one that shuts down."""

    def unchanged() -> str | None:
        engine.forget()
        return "they run" if set(before) <= set(_running(plan)) else None

    if unchanged() and not any(_shuts_down(engine, node) for node in before):
        return False
    try:
        wait_until(unchanged, what="the nodes", timeout=ENDING)
    except WaitTimeout:
        return False
    return True


def _shuts_down(engine: Engine, node: str) -> bool:
    """Ask systemd, which runs nothing more at the very end (systemctl(1), is-system-running)."""
    try:
        status, state = engine.execute(node, ["systemctl", "is-system-running"])
    except SandboxError:
        return True
    return status >= NOT_RUN or state.strip() in ("stopping", "offline", "unknown")


def _ask_nodes(plan: Sequence[Step]) -> tuple[str, ...]:
    """Begin to ask every running node, for as long as answers of the engine are kept; returns which run.

    Raises SandboxError.
    """
    running = _running(plan)
    for step in plan:
        if isinstance(step, ClusterStep):
            for node in running:
                step.provider.nodes.gather(node, partial(_questions, plan, node))
    return running


def _running(plan: Sequence[Step]) -> tuple[str, ...]:
    """Return the nodes that run; none without the control plane."""
    nodes = next((step.provider.nodes for step in plan if isinstance(step, ClusterStep)), None)
    return nodes.running() if nodes and nodes.standing() is Standing.RUNNING else ()


def _questions(plan: Sequence[Step], node: str) -> list[Question]:
    """Return what the checks will ask of a node; a step that cannot tell yet asks by itself."""

    def of(step: Step) -> Iterator[Question]:
        if isinstance(step, Asking):
            with suppress(SandboxError):
                yield from step.asks(node)

    return [question for step in plan for question in of(step)]
