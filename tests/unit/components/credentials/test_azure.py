"""Azure's directory and its registries' token services."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.components.credentials.registry_accounts import mint
from sandbox.config.schema.credentials_schema import Acr
from tests.support.token_services import ACR_TOKEN, Services, jwt
from tests.unit.components.credentials.conftest import refusal

Write = Callable[[Any], Path]
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(autouse=True)
def present(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set NOW for each test: services and this machine may differ by five minutes, a whole run takes longer."""
    monkeypatch.setattr(sys.modules[__name__], "NOW", datetime.now(UTC).replace(microsecond=0))


def test_a_principal_becomes_a_refresh_token_of_the_registry(services: Services, write: Write) -> None:
    entry = Acr(kind="acr", registry=services.host, file=write(services.azure.principal(services.url)))
    login = mint(entry, {}, now=NOW)
    account = login.accounts[services.host]
    assert (account.username, account.password) == ("00000000-0000-0000-0000-000000000000", ACR_TOKEN)
    assert login.expires == NOW + timedelta(hours=3)


def test_the_token_itself_tells_when_it_ends(services: Services, write: Write) -> None:
    services.azure.token = jwt(NOW + timedelta(minutes=90))
    entry = Acr(kind="acr", registry=services.host, file=write(services.azure.principal(services.url)))
    assert mint(entry, {}, now=NOW).expires == NOW + timedelta(minutes=90)


def test_a_principal_may_be_in_the_environment(services: Services) -> None:
    azure = services.azure
    environ = {
        "AZURE_TENANT_ID": azure.tenant,
        "AZURE_CLIENT_ID": azure.client,
        "AZURE_CLIENT_SECRET": azure.secret,
        "AZURE_AUTHORITY_HOST": services.url,
    }
    entry = Acr(kind="acr", registry=services.host)
    assert mint(entry, environ, now=NOW).find(services.host)
    del environ["AZURE_CLIENT_SECRET"]
    error = refusal(lambda: mint(entry, environ, now=NOW))
    assert error.brief == "AZURE_CLIENT_SECRET is not set"


def test_the_newer_form_of_the_file_is_read_too(services: Services, write: Write) -> None:
    azure = services.azure
    content = {"appId": azure.client, "password": azure.secret, "tenant": azure.tenant}
    named = {**content, "activeDirectoryEndpointUrl": services.url}
    entry = Acr(kind="acr", registry=services.host, file=write(named))
    assert mint(entry, {}, now=NOW).find(services.host)


def test_a_secret_that_has_ended_is_refused_and_not_repeated(services: Services, write: Write) -> None:
    entry = Acr(kind="acr", registry=services.host, file=write(services.azure.principal(services.url)))
    services.azure.secret = "another"
    error = refusal(lambda: mint(entry, {}, now=NOW))
    assert error.brief == "Microsoft's token service refuses these credentials"
    assert "invalid_client: AADSTS7000215: Invalid client secret ***." in error.details
    assert "az ad sp credential reset" in error.fix


def test_a_tenant_that_knows_no_such_principal_is_said(services: Services, write: Write) -> None:
    entry = Acr(kind="acr", registry=services.host, file=write(services.azure.principal(services.url)))
    services.azure.tenant = "fabrikam"
    assert "AADSTS700016" in refusal(lambda: mint(entry, {}, now=NOW)).details


def test_a_registry_that_lets_the_principal_not_in_is_named(services: Services, write: Write) -> None:
    entry = Acr(
        kind="acr",
        registry=f"localhost:{services.server_address[1]}",
        file=write(services.azure.principal(services.url)),
    )
    services.azure.access, good = "canary-other", services.azure.access
    answers = iter([good])
    services.azure.directory = lambda *_: {"access_token": next(answers)}  # type: ignore[method-assign]
    error = refusal(lambda: mint(entry, {}, now=NOW))
    assert error.brief == f"the registry {entry.registry} refuses these credentials"
    assert "UNAUTHORIZED: authentication required" in error.details
    assert "AcrPull" in error.fix


@pytest.mark.parametrize("missing", ["tenantId", "clientId", "clientSecret"])
def test_a_file_that_lacks_something_is_refused(services: Services, write: Write, missing: str) -> None:
    content = services.azure.principal(services.url)
    del content[missing]
    error = refusal(lambda: mint(Acr(kind="acr", registry="a.azurecr.io", file=write(content)), {}, now=NOW))
    assert error.details.startswith("it has no ")
    assert "az ad sp create-for-rbac" in error.fix
