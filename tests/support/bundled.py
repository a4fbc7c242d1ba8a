"""The real engine with an image of the bundle in it, for tests that hold our doors to the real thing."""

from __future__ import annotations

import os

import pytest

from sandbox.app import context
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.engine import Engine
from sandbox.errors import MissingTool


def engine_with(component: str) -> Engine:
    """The engine, with the image of a component; without an engine the test is skipped here and fails in CI."""
    try:
        engine = Engine.connect()
    except MissingTool as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(error.brief)
    recipe = recipes()[component]
    if engine.image_id(recipe.reference) is None:
        store = Store(context.home().bundle)
        if not store.has(recipe):
            pytest.fail("no image to test with: run `sandbox bundle build`")
        engine.load(store.image(recipe))
    return engine
