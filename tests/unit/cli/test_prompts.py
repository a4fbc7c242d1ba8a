"""The question before the first change to another user's cluster: asked once, and never answered without a user."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from sandbox.app.agreement import Agreement, agree_on_tenancy
from sandbox.cli import output, prompts
from sandbox.components.cluster.existing.steps import TenancyStep
from sandbox.errors import SandboxError, UsageError
from sandbox.names import Names
from tests.support.api_server import ApiServer, kubeconfig, serving
from tests.support.fakes import FakeStep, NoWork


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with serving() as server:
        yield server


@pytest.fixture
def step(names: Names, server: ApiServer) -> TenancyStep:
    kubeconfig(names.home.kubeconfig, server.server_port, context="team")
    return TenancyStep(
        names=names, paths=(names.home.kubeconfig,), context="team", namespace="mine", owner="ann@laptop"
    )


def answer(monkeypatch: pytest.MonkeyPatch, step: TenancyStep, typed: str) -> tuple[BaseException | None, str]:
    """Ask at a terminal; what came of it, and what was shown."""
    monkeypatch.setattr(output, "has_terminal", lambda: True)

    @click.command()
    def command() -> None:
        agree_on_tenancy([FakeStep("other", set()), step], prompts.Asking())

    ran = CliRunner().invoke(command, input=typed)
    return ran.exception, ran.stderr


def changed(server: ApiServer) -> set[str]:
    return {method for method, *_ in server.asked} - {"GET"}


def test_objects_to_create_are_shown_and_confirmed(
    monkeypatch: pytest.MonkeyPatch, step: TenancyStep, server: ApiServer
) -> None:
    for typed in ("n\n", "\n", "y\n"):
        trouble, said = answer(monkeypatch, step, typed)
        assert getattr(trouble, "id", None) == (None if typed == "y\n" else "declined")
        assert f"team (http://127.0.0.1:{server.server_port})" in said
        assert "mine: nothing of this sandbox is there yet" in said
        assert "dev.sandbox.name=demo" in said and "sandbox down" in said
        assert changed(server) == set() and (typed == "y\n" or not step.names.folder.exists())


def test_prompt_appears_once_and_again_for_another_creator(
    monkeypatch: pytest.MonkeyPatch, step: TenancyStep, server: ApiServer
) -> None:
    step.apply(NoWork())
    before = set(server.objects)
    assert answer(monkeypatch, step, "") == (None, "")
    trouble, said = answer(monkeypatch, replace(step, owner="bob@desk"), "n\n")
    assert isinstance(trouble, SandboxError) and "was made by ann@laptop" in said
    assert set(server.objects) == before


@pytest.mark.security(17)
def test_without_a_terminal_options_give_consent_beforehand(step: TenancyStep, server: ApiServer) -> None:
    """`up --yes` where a colleague has that name and namespace → refused with their name; --take-over says it."""
    for agreement in (prompts.Asking(), Agreement()):
        with pytest.raises(UsageError, match="'demo' would be created in an existing cluster") as caught:
            agree_on_tenancy([step], agreement)
        assert (caught.value.id, "--yes" in caught.value.fix) == ("consent", True)
        assert "mine" in caught.value.details
        assert not step.names.folder.exists() and changed(server) == set()
    agree_on_tenancy([step], prompts.Asking(yes=True))
    step.apply(NoWork())
    before = dict(server.objects)
    theirs = replace(step, owner="bob@desk")
    for agreement in (prompts.Asking(yes=True), Agreement()):
        with pytest.raises(UsageError, match="was made by ann@laptop") as caught:
            agree_on_tenancy([theirs], agreement)
        assert caught.value.id == "not-ours" and "--take-over" in caught.value.fix
    assert server.objects == before
    step.connect()
    agree_on_tenancy([theirs], prompts.Asking(take_over=True))


@pytest.mark.parametrize("name", ["compose.yaml", "Dockerfile", "skaffold.yaml", "Tiltfile"])
def test_project_without_a_spec_is_pointed_to_init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Else `up` makes an empty cluster, and it is not said why."""
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    prompts.note_project(said.append)
    assert said == []
    (tmp_path / name).touch()
    prompts.note_project(said.append)
    assert said == [f"there is no sandbox.yaml here, so nothing of {name} runs; `sandbox init` writes one"]
    (tmp_path / "sandbox.yaml").touch()
    prompts.note_project(said.append)
    assert len(said) == 1
