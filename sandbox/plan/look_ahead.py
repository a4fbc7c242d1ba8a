"""Asks each node by one command for all that a plan's checks will need, as soon as the checks begin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial

from sandbox.components.cluster.steps import ClusterStep
from sandbox.engine.questions import Question
from sandbox.errors import SandboxError
from sandbox.provider import Asking, Standing
from sandbox.step import Step


def ask_nodes(plan: Sequence[Step]) -> bool:
    """Begin to ask every running node, for as long as answers of the engine are kept; returns whether any runs.

    Raises SandboxError.
    """
    nodes = next((step.provider.nodes for step in plan if isinstance(step, ClusterStep)), None)
    if nodes is None or nodes.standing() is not Standing.RUNNING:
        return False
    for node in nodes.running():
        nodes.gather(node, partial(_questions, plan, node))
    return True


def _questions(plan: Sequence[Step], node: str) -> list[Question]:
    """Return what the checks will ask of a node; a step that cannot tell yet asks by itself."""

    def of(step: Step) -> Iterator[Question]:
        if isinstance(step, Asking):
            with suppress(SandboxError):
                yield from step.asks(node)

    return [question for step in plan for question in of(step)]
