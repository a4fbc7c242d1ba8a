"""google-auth against a double of Google's services."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.components.credentials.registry_accounts import mint, resolved
from sandbox.components.credentials.registry_login import Login
from sandbox.config.schema.credentials_schema import Gcr
from sandbox.oci.credential import Credential
from tests.support.token_services import GOOGLE_TOKEN, Services
from tests.unit.components.credentials.conftest import Write, refusal


def ask(file: Path | None = None, **fields: Any) -> Login:
    return mint(Gcr(kind="gcr", file=file, **fields), os.environ, now=datetime.now(UTC))


def reads_only(services: Services) -> bool:
    return all(scope.endswith(("read-only", "read_only")) for scope in services.google.scopes[-1].split())


def test_key_of_a_service_account_becomes_a_token_for_an_hour(services: Services, write: Write) -> None:
    login = ask(write(services.google.key_file(services.url)))
    assert login.accounts.keys() == {"gcr.io", "*.gcr.io", "*.pkg.dev"}
    assert login.find("europe-docker.pkg.dev") == Credential("oauth2accesstoken", GOOGLE_TOKEN)
    assert login.find("pkg.dev") is login.find("a.b.pkg.dev") is None
    assert login.expires is not None
    assert timedelta(minutes=59) < login.expires - login.issued <= timedelta(seconds=3599)
    assert reads_only(services)


def test_login_becomes_a_token_and_impersonates_an_account(
    services: Services, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("google.auth.iam._IAM_ENDPOINT", services.url + "/impersonate/{}:generateAccessToken")
    monkeypatch.setattr("google.oauth2.credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT", f"{services.url}/token")
    own = services.google.consent_file()
    assert ask(write(own), registries=("eu.gcr.io",)).accounts.keys() == {"eu.gcr.io"}
    account = f"https://iamcredentials.googleapis.com/v1/{services.google.email}:generateAccessToken"
    content = {"type": "impersonated_service_account", "service_account_impersonation_url": account}
    login = ask(write({**content, "source_credentials": own}))
    assert login.accounts["gcr.io"].password == GOOGLE_TOKEN
    assert reads_only(services)


def test_default_file_is_that_of_googles_libraries(tmp_path: Path) -> None:
    name, entry = "application_default_credentials.json", Gcr(kind="gcr")
    assert resolved(entry, {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path)}).file == tmp_path
    assert resolved(entry, {"CLOUDSDK_CONFIG": str(tmp_path)}).file == tmp_path / name
    assert resolved(entry, {}).file == Path.home() / ".config/gcloud" / name


def test_workload_identity_becomes_a_token(
    services: Services, write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    subject = tmp_path / "subject"
    subject.write_text(services.google.subject)
    file = write(services.google.workload_file(services.url, {"file": str(subject)}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    assert ask().accounts["gcr.io"].password == GOOGLE_TOKEN
    assert reads_only(services)
    subject.write_text("canary-other")
    assert "invalid_grant" in refusal(ask).details
    subject.unlink()
    assert refusal(ask).details == f"File '{subject}' was not found."


@pytest.mark.security(11)
def test_workload_identity_of_a_spec_is_refused(services: Services, write: Write) -> None:
    """A file that a spec names reads a file of this machine and sends it away → refused, nothing is read."""
    file = write(services.google.workload_file(services.url, {"file": "/etc/hostname"}))
    error = refusal(lambda: ask(file))
    assert error.brief == f"{file} cannot be used"
    assert error.fix.endswith(f"GOOGLE_APPLICATION_CREDENTIALS={file}")
    assert services.google.requests == 0


def test_refused_key_is_reported_with_its_fix(services: Services, write: Write) -> None:
    services.google.refusals = 9
    error = refusal(lambda: ask(write(services.google.key_file(services.url))))
    assert error.brief == "Google gives no token"
    assert "invalid_grant: Invalid grant" in error.details
    assert "sandbox credentials refresh" in error.fix


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("canary", "line 1, column 1"),
        ("[]", "not a JSON object"),
        ({"type": "gdch_service_account"}, "a key of type service_account"),
        ({"type": "impersonated_service_account"}, "not of the form of impersonated_service_account"),
        ({"type": "service_account", "private_key": "canary"}, "not of the form of service_account"),
        ({"type": "authorized_user", "client_id": "a"}, "not of the form of authorized_user"),
    ],
)
def test_file_that_is_no_key_is_refused(write: Write, content: Any, reason: str) -> None:
    file = write(content)
    error = refusal(lambda: ask(file))
    assert error.brief == f"{file} cannot be used"
    assert reason in error.details
    assert "gcloud" in error.fix
