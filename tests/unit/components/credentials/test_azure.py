"""Azure's directory and its registries' token services."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.components.credentials.registry_accounts import mint
from sandbox.config.schema.credentials_schema import Acr
from tests.support.programs import make_program
from tests.support.token_services import ACR_TOKEN, Services, jwt
from tests.unit.components.credentials.conftest import refusal

Write = Callable[[Any], Path]
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(autouse=True)
def present(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set NOW for each test: services and this machine may differ by five minutes, a whole run takes longer."""
    monkeypatch.setattr(sys.modules[__name__], "NOW", datetime.now(UTC).replace(microsecond=0))


def test_a_principal_becomes_a_refresh_token_of_the_registry(services: Services, write: Write) -> None:
    entry = Acr(kind="acr", registry=services.host, file=write(services.azure.principal(services.authority)))
    login = mint(entry, {}, now=NOW)
    account = login.accounts[services.host]
    assert (account.username, account.password) == ("00000000-0000-0000-0000-000000000000", ACR_TOKEN)
    assert login.expires == NOW + timedelta(hours=3)


def test_the_token_itself_tells_when_it_ends(services: Services, write: Write) -> None:
    services.azure.token = jwt(NOW + timedelta(minutes=90))
    entry = Acr(kind="acr", registry=services.host, file=write(services.azure.principal(services.authority)))
    assert mint(entry, {}, now=NOW).expires == NOW + timedelta(minutes=90)


def test_end_that_no_calendar_has_counts_as_unknown(services: Services, write: Write) -> None:
    claims = base64.urlsafe_b64encode(b'{"exp": 100000000000000000}').decode()
    services.azure.token = f"a.{claims}.b"
    entry = Acr(kind="acr", registry=services.host, file=write(services.azure.principal(services.authority)))
    assert mint(entry, {}, now=NOW).expires == NOW + timedelta(hours=3)


def test_a_principal_may_be_in_the_environment(services: Services) -> None:
    azure = services.azure
    environ = {
        "AZURE_TENANT_ID": azure.tenant,
        "AZURE_CLIENT_ID": azure.client,
        "AZURE_CLIENT_SECRET": azure.secret,
        "AZURE_AUTHORITY_HOST": services.authority,
    }
    entry = Acr(kind="acr", registry=services.host)
    assert mint(entry, environ, now=NOW).find(services.host)
    del environ["AZURE_CLIENT_SECRET"]
    error = refusal(lambda: mint(entry, environ, now=NOW))
    assert error.brief == "AZURE_CLIENT_SECRET is not set"


def test_workload_identity_of_the_environment_is_used(services: Services, tmp_path: Path) -> None:
    file = tmp_path / "assertion"
    file.write_text(services.azure.assertion)
    environ = {
        "AZURE_TENANT_ID": services.azure.tenant,
        "AZURE_CLIENT_ID": services.azure.client,
        "AZURE_FEDERATED_TOKEN_FILE": str(file),
        "AZURE_AUTHORITY_HOST": services.authority,
    }
    entry = Acr(kind="acr", registry=services.host)
    assert mint(entry, environ, now=NOW).find(services.host)
    file.write_text("canary-stale")
    assert "Invalid client secret ***" in refusal(lambda: mint(entry, environ, now=NOW)).details
    file.unlink()
    assert refusal(lambda: mint(entry, environ, now=NOW)).brief == f"{file} cannot be read"


def az(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """An Azure command line of few words."""
    make_program(tmp_path / "az", script)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")


def test_sign_in_of_az_is_used_without_any_other(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.azure.access = jwt(NOW + timedelta(hours=1), tid=services.azure.tenant)
    answer = json.dumps({"accessToken": services.azure.access, "expires_on": int(NOW.timestamp()) + 3600})
    az(tmp_path, monkeypatch, f"echo '{answer}'")
    entry = Acr(kind="acr", registry=services.host)
    assert mint(entry, {}, now=NOW).find(services.host)
    az(tmp_path, monkeypatch, "echo 'Please run az login' >&2; exit 1")
    error = refusal(lambda: mint(entry, {}, now=NOW))
    assert (error.brief, error.fix) == ("az is not signed in", "az login, or name a file")
    az(tmp_path, monkeypatch, "echo 'ERROR: AADSTS50173: revoked' >&2; exit 1")
    error = refusal(lambda: mint(entry, {}, now=NOW))
    assert (error.brief, error.details) == ("az gets no token", "ERROR: AADSTS50173: revoked")


def test_without_any_account_all_variables_are_named(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    error = refusal(lambda: mint(Acr(kind="acr", registry=services.host), {}, now=NOW))
    assert error.brief == "AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET is not set"


@pytest.mark.security(10)
def test_untrusted_directory_gets_nothing(services: Services, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Azure's directory has a certificate of an unknown authority → refused, no secret is sent."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    entry = Acr(kind="acr", registry=services.host, file=write(services.azure.principal(services.authority)))
    error = refusal(lambda: mint(entry, {}, now=NOW))
    assert error.brief == "Microsoft's token service cannot be trusted"
    assert "REQUESTS_CA_BUNDLE" in error.fix
    assert services.requests == 0


def test_directory_without_tls_is_refused(services: Services, write: Write) -> None:
    entry = Acr(kind="acr", registry=services.host, file=write(services.azure.principal(services.url)))
    error = refusal(lambda: mint(entry, {}, now=NOW))
    assert error.brief == f"Microsoft's token service at {services.url} is not safe to use"


@pytest.mark.parametrize("body", [b"canary", b"[]", b"{}", b'{"access_token": ""}'])
def test_answer_without_a_token_is_unusable(services: Services, write: Write, body: bytes) -> None:
    services.body = body
    entry = Acr(kind="acr", registry=services.host, file=write(services.azure.principal(services.authority)))
    error = refusal(lambda: mint(entry, {}, now=NOW))
    assert error.brief == "Microsoft's token service gave an unusable answer"


def test_the_newer_form_of_the_file_is_read_too(services: Services, write: Write) -> None:
    azure = services.azure
    content = {"appId": azure.client, "password": azure.secret, "tenant": azure.tenant}
    named = {**content, "activeDirectoryEndpointUrl": services.authority}
    entry = Acr(kind="acr", registry=services.host, file=write(named))
    assert mint(entry, {}, now=NOW).find(services.host)


def test_a_secret_that_has_ended_is_refused_and_not_repeated(services: Services, write: Write) -> None:
    entry = Acr(kind="acr", registry=services.host, file=write(services.azure.principal(services.authority)))
    services.azure.secret = "another"
    error = refusal(lambda: mint(entry, {}, now=NOW))
    assert error.brief == "Microsoft's token service refuses these credentials"
    assert "invalid_client: AADSTS7000215: Invalid client secret ***." in error.details
    assert "az ad sp credential reset" in error.fix


def test_a_tenant_that_knows_no_such_principal_is_said(services: Services, write: Write) -> None:
    entry = Acr(kind="acr", registry=services.host, file=write(services.azure.principal(services.authority)))
    services.azure.tenant = "fabrikam"
    assert "AADSTS700016" in refusal(lambda: mint(entry, {}, now=NOW)).details


def test_a_registry_that_lets_the_principal_not_in_is_named(services: Services, write: Write) -> None:
    entry = Acr(
        kind="acr",
        registry=f"localhost:{services.server_address[1]}",
        file=write(services.azure.principal(services.authority)),
    )
    services.azure.access, good = "canary-other", services.azure.access
    answers = iter([good])
    services.azure.directory = lambda *_: {"access_token": next(answers), "expires_in": 3599}  # type: ignore[method-assign]
    error = refusal(lambda: mint(entry, {}, now=NOW))
    assert error.brief == f"the registry {entry.registry} refuses these credentials"
    assert "UNAUTHORIZED: authentication required" in error.details
    assert "AcrPull" in error.fix


@pytest.mark.parametrize("missing", ["tenantId", "clientId", "clientSecret"])
def test_a_file_that_lacks_something_is_refused(services: Services, write: Write, missing: str) -> None:
    content = services.azure.principal(services.authority)
    del content[missing]
    error = refusal(lambda: mint(Acr(kind="acr", registry="a.azurecr.io", file=write(content)), {}, now=NOW))
    assert error.details.startswith("it has no ")
    assert "az ad sp create-for-rbac" in error.fix
