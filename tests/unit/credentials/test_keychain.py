"""Which account a pull on this machine is made with, and which service is asked for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.credentials.keychain import keychain
from sandbox.credentials.mint import may_know
from sandbox.registry.credential import Credential
from sandbox.spec.credentials import Acr, Credentials, Docker, Ecr, Gcr
from tests.unit.credentials.services import GOOGLE_TOKEN, Services

Write = Callable[..., Path]


def config(host: str, password: str) -> dict[str, dict[str, dict[str, str]]]:
    return {"auths": {host: {"username": "me", "password": password}}}


def test_a_service_is_asked_once_and_for_its_own_hosts_only(services: Services, write: Write) -> None:
    entry = Gcr(kind="gcr", file=write(services.google.key_file(services.url)))
    chain = keychain([entry], {})
    assert chain.find("docker.io") is None
    assert services.requests == 0
    found = [chain.find("eu.gcr.io"), chain.find("us-docker.pkg.dev")]
    assert found == [Credential("oauth2accesstoken", GOOGLE_TOKEN)] * 2
    assert services.requests == 1


def test_the_spec_comes_before_docker_login(write: Write, tmp_path: Path) -> None:
    write(config("quay.io", "canary-login"), "config.json")
    entry = Docker(kind="docker", file=write(config("quay.io", "canary-spec"), "other.json"))
    environ = {"DOCKER_CONFIG": str(tmp_path)}
    assert keychain([entry], environ).find("quay.io") == Credential("me", "canary-spec")
    assert keychain([], environ).find("quay.io") == Credential("me", "canary-login")
    elsewhere = Docker(kind="docker", file=tmp_path / "other.json", registries=("ghcr.io",))
    assert keychain([elsewhere], environ).find("quay.io") == Credential("me", "canary-login")


@pytest.mark.parametrize(
    ("entry", "host", "known"),
    [
        (Docker(kind="docker"), "quay.io", True),
        (Docker(kind="docker", registries=("ghcr.io",)), "quay.io", False),
        (Gcr(kind="gcr"), "gcr.io", True),
        (Gcr(kind="gcr", registries=("eu.gcr.io",)), "gcr.io", False),
        (Ecr(kind="ecr"), "123456789012.dkr.ecr.eu-central-1.amazonaws.com", True),
        (Ecr(kind="ecr"), "123456789012.dkr-ecr.eu-central-1.on.aws", True),
        (Ecr(kind="ecr", accounts=("111111111111",)), "123456789012.dkr.ecr.eu-central-1.amazonaws.com", False),
        (Ecr(kind="ecr"), "public.ecr.aws", False),
        (Acr(kind="acr", registry="a.azurecr.io"), "a.azurecr.io", True),
        (Acr(kind="acr", registry="a.azurecr.io"), "b.azurecr.io", False),
    ],
)
def test_an_entry_knows_the_hosts_of_its_kind(entry: Credentials, host: str, known: bool) -> None:
    assert may_know(entry, host) is known
