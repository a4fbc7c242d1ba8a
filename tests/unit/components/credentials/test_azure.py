"""azure-identity against a double of Azure's directory, and the exchange at a registry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sandbox.components.credentials.registry_accounts import mint
from sandbox.components.credentials.registry_login import Login
from sandbox.config.schema.credentials_schema import Acr
from sandbox.oci.credential import Credential
from sandbox.oci.transport import LARGEST
from tests.support.programs import make_program
from tests.support.token_services import ACR_TOKEN, Services, jwt
from tests.unit.components.credentials.conftest import Write, refusal

NOW = datetime.now(UTC).replace(microsecond=0)


def ask(services: Services, file: Path | None = None, environ: Mapping[str, str] = {}) -> Login:
    return mint(Acr(kind="acr", registry=services.host, file=file), environ, now=NOW)


@pytest.fixture
def principal(services: Services, write: Write) -> Path:
    return write(services.azure.principal(services.authority))


def test_principal_becomes_a_refresh_token_of_the_registry(services: Services, principal: Path, write: Write) -> None:
    login = ask(services, principal)
    assert login.accounts[services.host] == Credential("00000000-0000-0000-0000-000000000000", ACR_TOKEN)
    assert login.expires == NOW + timedelta(hours=3)
    services.azure.token = jwt(NOW + timedelta(minutes=90))
    assert ask(services, principal).expires == NOW + timedelta(minutes=90)
    azure, authority = services.azure, services.authority
    newer = {"appId": azure.client, "password": azure.secret, "tenant": azure.tenant}
    assert ask(services, write({**newer, "activeDirectoryEndpointUrl": authority})).find(services.host)


@pytest.fixture
def environ(services: Services) -> dict[str, str]:
    azure = services.azure
    ids = {"AZURE_TENANT_ID": azure.tenant, "AZURE_CLIENT_ID": azure.client}
    return {**ids, "AZURE_AUTHORITY_HOST": services.authority}


def test_principal_may_be_in_the_environment(services: Services, environ: dict[str, str]) -> None:
    assert ask(services, environ={**environ, "AZURE_CLIENT_SECRET": services.azure.secret}).find(services.host)
    assert refusal(lambda: ask(services, environ=environ)).brief == "AZURE_CLIENT_SECRET is not set"


def test_workload_identity_of_the_environment_is_used(
    services: Services, environ: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "assertion"
    file.write_text(services.azure.assertion)
    environ["AZURE_FEDERATED_TOKEN_FILE"] = str(file)
    assert ask(services, environ=environ).find(services.host)
    file.unlink()
    assert str(file) in refusal(lambda: ask(services, environ=environ)).details


def az(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    make_program(tmp_path / "az", script)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


def test_sign_in_of_az_is_used_without_file_and_variables(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = services.azure.access = jwt(NOW + timedelta(hours=1), tid=services.azure.tenant)
    answer = json.dumps({"accessToken": token, "expiresOn": "2099-01-01 00:00:00.000000"})
    az(tmp_path, monkeypatch, f"echo '{answer}'")
    assert ask(services).find(services.host)
    az(tmp_path, monkeypatch, "echo 'Please run az login' >&2; exit 1")
    error = refusal(lambda: ask(services))
    assert (error.brief, error.fix) == ("az is not signed in", "az login, or name a file")
    az(tmp_path, monkeypatch, "echo 'ERROR: AADSTS50173: revoked' >&2; exit 1")
    error = refusal(lambda: ask(services))
    assert (error.brief, error.details) == ("Microsoft gives no token", "ERROR: AADSTS50173: revoked")


@pytest.mark.security(10)
def test_directory_without_tls_gets_nothing(services: Services, write: Write) -> None:
    """Azure's directory is named by an http address → refused, no secret is sent."""
    error = refusal(lambda: ask(services, write(services.azure.principal(services.url))))
    assert error.brief == "the Azure account cannot be used"
    assert services.url.removeprefix("http://") in error.details


def test_refused_secret_is_reported_with_its_fix(services: Services, principal: Path) -> None:
    services.azure.secret = "another"
    error = refusal(lambda: ask(services, principal))
    assert error.brief == "Microsoft gives no token"
    assert "AADSTS7000215: Invalid client secret." in error.details
    assert "az ad sp credential reset" in error.fix


def test_registry_that_refuses_answers_nothing_or_too_much_is_named(services: Services, principal: Path) -> None:
    error = refusal(lambda: mint(Acr(kind="acr", registry="127.0.0.1:1", file=principal), {}, now=NOW))
    assert "127.0.0.1:1" in error.brief
    services.azure.exchange = lambda *_: (200, "text/plain", bytes(LARGEST + 1))  # type: ignore[method-assign]
    error = refusal(lambda: ask(services, principal))
    assert error.brief == "an answer of a registry is too large"
    assert error.fix == "check the address, or tell the registry's owner"
    services.azure.exchange = lambda *_: (401, "text/plain", b"")  # type: ignore[method-assign]
    error = refusal(lambda: ask(services, principal))
    assert error.brief == f"the registry {services.host} refuses these credentials"
    assert "AcrPull" in error.fix


def test_file_that_lacks_something_is_refused(services: Services, write: Write) -> None:
    content = services.azure.principal(services.authority)
    del content["clientSecret"]
    error = refusal(lambda: ask(services, write(content)))
    assert error.details.startswith("it has no ")
    assert "az ad sp create-for-rbac" in error.fix
