"""The accounts of `docker login`, from files as Docker writes them and from helpers."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox.components.credentials.registry_login import Login
from sandbox.components.credentials.token_exchange import mint, settled
from sandbox.config.schema.credentials_schema import Docker
from tests.unit.components.credentials.conftest import refusal

Write = Callable[[Any], Path]
HELPER = """#!/bin/sh
read -r server
[ "$server" = helped.example.com ] || { echo "credentials not found in native keychain"; exit 1; }
echo '{"ServerURL": "helped.example.com", "Username": "hal", "Secret": "canary-helper"}'
"""


def auth(username: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


def ask(file: Path, *registries: str) -> Login:
    return mint(Docker(kind="docker", file=file, registries=registries), {}, now=datetime.now(UTC))


def pairs(login: Login) -> dict[str, tuple[str, str]]:
    return {host: (one.username, one.password) for host, one in login.accounts.items()}


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "docker-credential-test"
    program.write_text(HELPER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")


def test_all_accounts_of_the_file_are_meant_and_do_not_end(write: Write) -> None:
    auths = {"https://index.docker.io/v1/": auth("me", "canary-hub"), "quay.io": auth("you", "canary:quay")}
    login = ask(write({"auths": auths}))
    assert pairs(login) == {"docker.io": ("me", "canary-hub"), "quay.io": ("you", "canary:quay")}
    assert login.expires is None


def test_registries_that_are_named_are_all_that_is_taken(write: Write) -> None:
    auths = {"quay.io": auth("you", "canary"), "ghcr.io": auth("me", "canary")}
    assert pairs(ask(write({"auths": auths}), "ghcr.io")).keys() == {"ghcr.io"}


@pytest.mark.usefixtures("helper")
@pytest.mark.parametrize(
    "content",
    [
        {"auths": {"helped.example.com": {}}, "credsStore": "test"},
        {"credHelpers": {"helped.example.com": "test"}},
    ],
)
def test_helpers_are_asked_here(write: Write, content: Any) -> None:
    assert pairs(ask(write(content))) == {"helped.example.com": ("hal", "canary-helper")}


def test_a_token_for_azure_is_a_password_there(write: Write) -> None:
    token = {**auth("00000000-0000-0000-0000-000000000000", ""), "identitytoken": "canary-identity"}
    found = pairs(ask(write({"auths": {"demo.azurecr.io": token}})))
    assert found == {"demo.azurecr.io": ("00000000-0000-0000-0000-000000000000", "canary-identity")}


def test_a_token_that_pods_cannot_use_is_refused(write: Write) -> None:
    file = write({"auths": {"ghcr.io": {"identitytoken": "canary-identity"}}})
    error = refusal(lambda: ask(file))
    assert error.brief == "the account at ghcr.io is a token that pods cannot pull with"
    assert error.fix.endswith("docker login ghcr.io")


def test_a_registry_without_an_account_is_named(write: Write) -> None:
    file = write({"auths": {"ghcr.io": auth("me", "canary")}})
    error = refusal(lambda: ask(file, "quay.io"))
    assert error.fix == "docker login quay.io"


@pytest.mark.parametrize("content", ["{}", '{"auths": {}}', "[]", "canary"])
def test_a_file_without_registries_is_refused(write: Write, content: str) -> None:
    file = write(content)
    assert refusal(lambda: ask(file)).brief == f"{file} cannot be used"


def test_the_usual_file_is_dockers(tmp_path: Path, home: Path) -> None:
    entry = Docker(kind="docker")
    assert settled(entry, {"DOCKER_CONFIG": str(tmp_path)}).file == tmp_path / "config.json"
    assert settled(entry, {}).file == home / ".docker" / "config.json"
