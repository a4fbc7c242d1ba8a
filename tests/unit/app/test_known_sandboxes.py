"""Which sandboxes there are, as far as this user's folders and the engine tell."""

from __future__ import annotations

import pytest

from sandbox.app import chosen_spec, context, known_sandboxes
from sandbox.engine.base import EngineError
from sandbox.errors import UsageError
from sandbox.plan import providers


def test_unknown_name_is_refused_unless_the_engine_is_silent(home: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_sandboxes, "sandboxes", lambda: (known_sandboxes.Known("demo", "running", "demo.test"),))
    known_sandboxes.require_known("demo")
    with pytest.raises(UsageError, match="there is no sandbox 'nosuch'"):
        known_sandboxes.require_known("nosuch")
    context.home().sandbox("nosuch").folder.mkdir(parents=True)
    known_sandboxes.require_known("nosuch")

    def silent() -> tuple[known_sandboxes.Known, ...]:
        raise EngineError("no Docker Engine answers")

    monkeypatch.setattr(known_sandboxes, "sandboxes", silent)
    known_sandboxes.require_known("other")


def test_empty_name_is_not_the_default_sandbox(home: object) -> None:
    with pytest.raises(UsageError, match="name"):
        chosen_spec.written(None, "")


@pytest.mark.parametrize(
    ("saved", "node"),
    [
        (None, "sandbox-demo-control-plane"),
        ("{", "sandbox-demo-control-plane"),
        ("[]", "sandbox-demo-control-plane"),
        ('{"cluster": {"provider": "kind", "profile": null}}', "sandbox-demo-control-plane"),
        ('{"cluster": {"provider": "minikube", "profile": null}}', "sandbox-demo"),
        ('{"cluster": {"provider": "minikube", "profile": "mine"}}', "mine"),
        ('{"cluster": {"provider": "existing"}}', None),
    ],
)
def test_control_plane_is_known_by_the_saved_spec(home: object, saved: str | None, node: str | None) -> None:
    names = context.home().sandbox("demo")
    if saved is not None:
        names.folder.mkdir(parents=True)
        names.spec.write_text(saved, encoding="utf-8")
    assert providers.control_plane(names) == node
