"""Puts together what a command on one sandbox works with: engine, images, plan, and the lock that keeps others out."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sandbox import plan, preflight
from sandbox.bundle.own import OwnImages, choose
from sandbox.bundle.store import Store
from sandbox.cli import console, environment
from sandbox.cli.options import PATIENCE
from sandbox.host import turn
from sandbox.host.engine import Engine
from sandbox.names import Home
from sandbox.spec import Settled, Spec
from sandbox.steps.remembered import load
from sandbox.steps.step import Step

# What `up` brings in from the user's files.
BROUGHT = ("spec", "push", "addons", "apply")


def own_images(spec: Spec, home: Home, engine: Engine) -> OwnImages:
    """Where this sandbox's own images come from."""
    return choose(spec.images.source, lambda name: engine.image_id(name) is not None, Store(home.bundle))


def steps(spec: Spec, *, purge: bool = False) -> tuple[tuple[Step, ...], Engine, OwnImages]:
    """The plan of a sandbox on this machine, with the engine and the images it is made for."""
    home = environment.home()
    engine = Engine.connect()
    own = own_images(spec, home, engine)
    settled, keychain = preflight.settle(spec, home, engine), environment.keychain(spec.credentials)
    return plan.build(settled, home, engine, own, purge=purge, keychain=keychain), engine, own


def registry_port(spec: Spec) -> int:
    """The port of the spec's registry; where it is `auto`, the one that the sandbox's registry has."""
    if spec.registry.port != "auto":
        return spec.registry.port
    return preflight.settle(spec, environment.home(), Engine.connect()).registry.port


@contextmanager
def alone(name: str, *, patience: float = PATIENCE, progress: str = "auto") -> Iterator[None]:
    """Keep other commands from changing the same sandbox meanwhile; they wait up to `patience` seconds. Raises Busy."""
    environment.arm_failpoint()
    command = f"sandbox {shlex.join(sys.argv[1:])}"
    with turn.take(
        environment.home().lock(name), command, seconds=patience, waits=lambda line: console.note(progress, line)
    ):
        yield


def remembered(name: str) -> Settled | None:
    """The spec that a sandbox was last brought up with, if there is one."""
    return load(environment.home().sandbox(name))


def resting(spec: Spec) -> tuple[Step, ...]:
    """The plan of a sandbox without what came from the user's files, which it holds by itself and which may be gone."""
    wanted, _, _ = steps(spec.model_copy(update={"push": None, "apply": (), "addons": ()}))
    return tuple(step for step in wanted if step.name not in BROUGHT)
