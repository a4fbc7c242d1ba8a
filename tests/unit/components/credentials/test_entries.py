"""What a sandbox.yaml may say about credentials, and what it is told when that makes no sense."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.bundle.system_images import UPSTREAM, OwnImages
from sandbox.config import loader
from sandbox.config.resolve import load
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.errors import UsageError
from sandbox.names import Names
from sandbox.plan import build as plan_build
from sandbox.step import needed
from tests.support.fakes import FakeEngine
from tests.support.programs import make_program


def parse(text: str) -> Spec:
    return loader.parse(text, Spec, origin="sandbox.yaml")


def test_files_are_found_from_the_specs_folder_or_the_users(tmp_path: Path, isolated_home: Path) -> None:
    file = tmp_path / "sandbox.yaml"
    file.write_text("credentials: [{kind: gcr, file: key.json}, {kind: docker}, {kind: ecr, file: ~/.aws/credentials}]")
    files = [tmp_path / "key.json", None, isolated_home / ".aws" / "credentials"]
    assert [entry.file for entry in load(file).credentials] == files


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{kind: dockr}", "credentials[0].kind: must be one of 'docker', 'gcr', 'ecr', 'acr', not 'dockr'"),
        ("{file: a}", "credentials[0]: missing key 'kind'"),
        ("{kind: acr}", "missing key 'registry' in credentials[0]"),
        ("{kind: ecr, accounts: ['1']}", "credentials[0].accounts[0]: must be an AWS account of 12 digits"),
        ("{kind: gcr, password: canary}", "unknown key 'password' in credentials[0]"),
        ("{kind: gcr, namespaces: A}", "credentials[0].namespaces: must be 'all'"),
    ],
)
def test_senseless_record_is_refused_at_its_place(entry: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(f"credentials: [{entry}]")
    assert message in caught.value.brief


@pytest.mark.security(11)
def test_azure_token_is_for_azure_alone() -> None:
    """`acr` with a registry of another host → refused: a principal's token would go to that host."""
    for host in ("evil.example", "azurecr.io.evil.example", "azurecr.io", "demo.azurecr.io.:1"):
        with pytest.raises(UsageError):
            parse(f"credentials: [{{kind: acr, registry: '{host}'}}]")
    for host in ("demo.azurecr.io", "demo.azurecr.cn", "demo.azurecr.us", "demo.azurecr.io:443"):
        assert parse(f"credentials: [{{kind: acr, registry: '{host}'}}]").credentials


def test_two_of_a_kind_need_names_of_their_own() -> None:
    with pytest.raises(UsageError, match="the Secret 'gcr-secret' is given twice"):
        parse("credentials: [{kind: gcr}, {kind: gcr, file: a.json}]")
    assert len(parse("credentials: [{kind: gcr}, {kind: gcr, file: a.json, secret: b}]").credentials) == 2


def test_credentials_are_delivered_before_user_manifests(
    names: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_program(tmp_path / "kind", "exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    objects = tmp_path / "objects.yaml"
    objects.write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n")

    def needs(spec: Spec) -> dict[str, tuple[str, ...]]:
        resolved = ResolvedSpec.of(spec, registry=5001, https=(443,))
        steps = plan_build.build(resolved, names.home, FakeEngine(), OwnImages("upstream", UPSTREAM), environ={})
        return {step.name: needed(step, [one.name for one in steps]) for step in steps}

    spec = parse("{name: demo, credentials: [{kind: gcr}]}").model_copy(update={"apply": (objects,)})
    assert needs(spec)["credentials"] == ("cluster", "accounts")
    assert "credentials" in needs(spec)["apply"]
    assert {"credentials", "accounts"} & needs(spec.model_copy(update={"credentials": ()})).keys() == set()
