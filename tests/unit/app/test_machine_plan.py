"""The plan of a sandbox on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.app import machine_plan, ports
from sandbox.bundle import recipe, remembered_digests, system_images
from sandbox.bundle.recipe import Recipes
from sandbox.config.schema import Spec
from sandbox.engine import Engine
from sandbox.names import Home
from sandbox.plan import build
from tests.support.fakes import FakeEngine


def test_digest_that_a_plan_asks_for_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests: list[str] = []

    def built(*_: Any, **__: Any) -> tuple[()]:
        digests.append(recipe.recipes()["kind"].digest)
        return ()

    monkeypatch.setattr(machine_plan, "home", lambda: Home(tmp_path, tmp_path, tmp_path / "kubeconfig"))
    monkeypatch.setattr(Engine, "connect", staticmethod(FakeEngine))
    monkeypatch.setattr(system_images, "for_spec", lambda *_: None)
    monkeypatch.setattr(ports, "resolve", lambda spec, *_: spec)
    monkeypatch.setattr(build, "build", built)

    def plan() -> None:
        """Make the plan as another process does."""
        fresh = Recipes()
        for module in (recipe, remembered_digests):
            monkeypatch.setattr(module, "recipes", lambda: fresh)
        machine_plan.steps(Spec())

    plan()
    monkeypatch.setattr(recipe, "go_sum", lambda *_: pytest.fail("a recipe was read"))
    plan()
    assert digests[0] == digests[1]
