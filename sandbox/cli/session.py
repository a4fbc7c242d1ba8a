"""What a command on one sandbox works with: its plan, and the lock that keeps other commands out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from sandbox.app import context
from sandbox.app.context import own_images, registry, steps
from sandbox.cli import command_context, console
from sandbox.cli.options import PATIENCE, find_spec
from sandbox.components.ingress.https_step import HttpsStep
from sandbox.components.workloads.rollout_step import WorkloadsStep
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.errors import UsageError
from sandbox.plan.saved_spec import load
from sandbox.step import Step

__all__ = [
    "alone",
    "brought_up",
    "own_images",
    "registry",
    "remembered",
    "require_own_cluster",
    "resting",
    "steps",
]

# What `up` brings in from the user's files.
BROUGHT = ("spec", "push", "addons", "minikube-disused", "minikube-addons", "apply")


@contextmanager
def alone(name: str, *, patience: float = PATIENCE, progress: str = "auto") -> Iterator[None]:
    """Keep other commands from changing the same sandbox meanwhile; they wait up to `patience` seconds. Raises Busy."""
    command_context.arm_failpoint()
    command = command_context.command_line()
    with context.alone(name, command, seconds=patience, waits=lambda line: console.note(progress, line)):
        yield


@contextmanager
def pushing(name: str, *, patience: float = PATIENCE, progress: str = "auto") -> Iterator[None]:
    """Keep other commands from pushing into the sandbox's registry, and from collecting its garbage. Raises Busy."""
    command = command_context.command_line()
    with context.pushing(name, command, seconds=patience, waits=lambda line: console.note(progress, line)):
        yield


def require_own_cluster(spec: Spec, what: str) -> None:
    """Raise UsageError for a sandbox in a cluster that exists, where there is no `what`."""
    known = spec if not spec.cluster.is_ours else remembered(spec.name) or spec
    if not known.cluster.is_ours:
        raise UsageError(
            f"'{spec.name}' is in a cluster that is not its own: {what} is not to be had there",
            fix="docs/existing.md has what is",
        )


def remembered(name: str) -> ResolvedSpec | None:
    """The spec that a sandbox was last brought up with, if there is one."""
    return load(command_context.home().sandbox(name))


def brought_up(name: str | None) -> ResolvedSpec:
    """The spec that the sandbox NAME, else that of ./sandbox.yaml, was last brought up with. Raises UsageError."""
    wanted = find_spec(None, name)
    spec = remembered(wanted.name)
    if spec is None:
        raise UsageError(
            f"there is no sandbox '{wanted.name}'",
            fix="`sandbox list` shows those there are; `sandbox up` makes one",
            id="no-sandbox",
        )
    return spec


def resting(spec: Spec) -> tuple[Step, ...]:
    """The plan of a sandbox without what came from the user's files, which it holds by itself and which may be gone."""
    # Those with a name stay: with one of minikube's the accounts at other registries are not ours to keep.
    named = tuple(one for one in spec.addons if "/" not in one.addon)
    wanted, _, _ = steps(spec.model_copy(update={"push": None, "apply": (), "addons": named}))
    run = WorkloadsStep(command_context.home().sandbox(spec.name))
    held = (step for step in wanted if step.name not in BROUGHT)
    return (
        run,
        *(replace(one, requires=(*one.requires, run.name)) if isinstance(one, HttpsStep) else one for one in held),
    )
