"""The real engine, and what the bundle has, for tests that hold our doors to the real thing."""

from __future__ import annotations

import pytest

from sandbox.app import context
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.components.workloads.helm import Helm
from sandbox.engine import Engine
from sandbox.errors import MissingTool
from tests.real import machine


def engine_with(component: str) -> Engine:
    """The engine, with the image of a component; without an engine the test is left out."""
    engine = machine.engine()
    recipe = recipes()[component]
    if engine.image_id(recipe.reference) is None:
        store = Store(context.home().bundle)
        if not store.has(recipe):
            pytest.fail("no image to test with: run `sandbox bundle build`")
        engine.load(store.image(recipe))
    return engine


def store_with(*components: str) -> Store:
    """The bundle's store; without all these components the test is left out."""
    store, known = Store(context.home().bundle), recipes()
    if missing := [one for one in components if not store.has(known[one])]:
        machine.leave_out(f"needs what is not in the bundle: sandbox bundle build {' '.join(missing)}")
    return store


def helm() -> Helm:
    """The helm on the PATH, else the bundle's; without one the test is left out."""
    try:
        return Helm.find(Store(context.home().bundle))
    except MissingTool as error:
        machine.leave_out(f"{error.brief}: {error.fix}")
