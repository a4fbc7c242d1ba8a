"""Which sandboxes there are, as far as this user's folders and the engine tell."""

from __future__ import annotations

import pytest

from sandbox.app import chosen_spec, context, overview
from sandbox.engine.base import EngineError
from sandbox.errors import UsageError


def test_unknown_name_is_refused_unless_the_engine_is_silent(home: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "sandboxes", lambda: (overview.Known("demo", "running", "demo.test"),))
    overview.require_known("demo")
    with pytest.raises(UsageError, match="there is no sandbox 'nosuch'"):
        overview.require_known("nosuch")
    context.home().sandbox("nosuch").folder.mkdir(parents=True)
    overview.require_known("nosuch")

    def silent() -> tuple[overview.Known, ...]:
        raise EngineError("no Docker Engine answers")

    monkeypatch.setattr(overview, "sandboxes", silent)
    overview.require_known("other")


def test_empty_name_is_not_the_default_sandbox(home: object) -> None:
    with pytest.raises(UsageError, match="name"):
        chosen_spec.written(None, "")
