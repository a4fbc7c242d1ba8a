"""What `up` does about programs that this machine lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.app import requirements
from sandbox.app.agreement import Agreement
from sandbox.app.context import home
from sandbox.app.session import Session
from sandbox.bundle import released_tools
from sandbox.bundle.released_tools import Release
from sandbox.bundle.store import Store
from sandbox.cli.prompts import Asking
from sandbox.config.schema import Spec
from sandbox.errors import MissingTool, SandboxError
from tests.support.programs import make_program

pytestmark = pytest.mark.downloads


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    monkeypatch.setattr(released_tools, "fetch", lambda release, store: names.append(release.name))
    return names


def provide(agreement: Agreement, **spec: Any) -> None:
    requirements.provide_tools(Spec.model_validate(spec), home(), Session(), agreement)


def test_a_program_without_the_users_consent_is_an_error_with_both_ways(programs: Path, fetched: list[str]) -> None:
    with pytest.raises(MissingTool) as caught:
        provide(Agreement())
    assert caught.value.brief == "kind is not installed"
    assert "v0.33.0" in caught.value.details
    assert "--yes" in caught.value.fix and "install it yourself" in caught.value.fix
    assert not fetched
    make_program(programs / "kind", "")
    provide(Agreement())
    assert not fetched


def test_only_what_the_spec_needs_is_fetched(programs: Path, fetched: list[str], tmp_path: Path) -> None:
    provide(Asking(yes=True), apply=[{"kustomize": str(tmp_path)}])
    assert fetched == ["kind", "kubectl"]


def test_tool_that_cannot_be_fetched_can_be_built(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(release: Release, store: Store) -> None:
        raise SandboxError("kind v0.33.0 cannot be fetched", details="no network", fix="try again", id="release")

    monkeypatch.setattr(released_tools, "fetch", fail)
    with pytest.raises(SandboxError, match="cannot be fetched") as caught:
        provide(Asking(yes=True))
    assert caught.value.fix.endswith("sandbox bundle build kind")
