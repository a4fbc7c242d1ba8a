"""Google's token service, by a double that verifies the signature of every JWT and its times."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.components.credentials import gcp
from sandbox.components.credentials.registry_accounts import mint, resolved
from sandbox.config.schema.credentials_schema import Gcr
from tests.support.token_services import GOOGLE_TOKEN, Services
from tests.unit.components.credentials.conftest import refusal

Write = Callable[[Any], Path]
NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def present(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set NOW for each test: services and this machine may differ by five minutes, a whole run takes longer."""
    monkeypatch.setattr(sys.modules[__name__], "NOW", datetime.now(UTC))


def test_a_service_accounts_key_becomes_a_token_for_an_hour(services: Services, write: Write) -> None:
    entry = Gcr(kind="gcr", file=write(services.google.key_file(services.url)))
    login = mint(entry, {}, now=NOW)
    assert login.accounts.keys() == {"gcr.io", "*.gcr.io", "*.pkg.dev"}
    account = login.find("europe-docker.pkg.dev")
    assert account is not None
    assert (account.username, account.password) == ("oauth2accesstoken", GOOGLE_TOKEN)
    assert login.find("pkg.dev") is login.find("a.b.pkg.dev") is None
    assert login.expires == NOW + timedelta(seconds=3599)
    assert all(scope.endswith(("read-only", "read_only")) for scope in services.google.scopes[0].split())


def test_login_becomes_a_token_for_the_named_registries(services: Services, write: Write) -> None:
    file = write(services.google.consent_file(services.url))
    login = mint(Gcr(kind="gcr", file=file, registries=("eu.gcr.io",)), {}, now=NOW)
    assert login.accounts.keys() == {"eu.gcr.io"}


@pytest.mark.parametrize(
    ("variable", "below"),
    [("GOOGLE_APPLICATION_CREDENTIALS", ""), ("CLOUDSDK_CONFIG", "/" + gcp.default_file({}).name)],
)
def test_the_usual_file_is_found_where_googles_libraries_look(variable: str, below: str, tmp_path: Path) -> None:
    entry = resolved(Gcr(kind="gcr"), {variable: str(tmp_path)})
    assert str(entry.file) == f"{tmp_path}{below}"
    assert str(resolved(Gcr(kind="gcr"), {}).file).endswith("/.config/gcloud/application_default_credentials.json")


def test_a_key_that_is_not_the_accounts_is_refused(services: Services, write: Write) -> None:
    content = services.google.key_file(services.url)
    services.google.key = rsa.generate_private_key(65537, 2048)
    error = refusal(lambda: mint(Gcr(kind="gcr", file=write(content)), {}, now=NOW))
    assert error.brief == "Google's token service refuses these credentials"
    assert "invalid_grant: Invalid JWT Signature." in error.details
    assert "sandbox credentials refresh" in error.fix


@pytest.mark.parametrize(("ahead", "side"), [(timedelta(hours=-2), "behind"), (timedelta(hours=2), "ahead of")])
def test_a_wrong_clock_is_named_as_the_reason(services: Services, write: Write, ahead: timedelta, side: str) -> None:
    entry = Gcr(kind="gcr", file=write(services.google.key_file(services.url)))
    error = refusal(lambda: mint(entry, {}, now=datetime.now(UTC) + ahead))
    assert f"this machine's clock is 120 minutes {side} the service's" in error.details
    assert error.fix.startswith("set this machine's clock")


def test_a_consent_that_was_revoked_is_refused_and_not_repeated(services: Services, write: Write) -> None:
    content = services.google.consent_file(services.url)
    services.google.refresh = "another"
    error = refusal(lambda: mint(Gcr(kind="gcr", file=write(content)), {}, now=NOW))
    assert "Token *** has been expired or revoked." in error.details
    assert "gcloud auth application-default login" in error.fix


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "line 1, column 1"),
        ("canary", "line 1, column 1"),
        ("[]", "not a JSON object"),
        ("{}", "type service_account or authorized_user"),
        ({"type": "external_account"}, "type service_account or authorized_user"),
        ({"type": "service_account"}, "it has no client_email"),
        ({"type": "service_account", "client_email": "a", "private_key": "canary"}, "not a private key in PEM"),
        ({"type": "authorized_user", "client_id": "a"}, "it has no client_secret"),
    ],
)
def test_a_file_that_is_no_key_is_refused(write: Write, content: Any, reason: str) -> None:
    file = write(content)
    error = refusal(lambda: mint(Gcr(kind="gcr", file=file), {}, now=NOW))
    assert error.brief == f"{file} cannot be used"
    assert reason in error.details
    assert "gcloud" in error.fix


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    error = refusal(lambda: mint(Gcr(kind="gcr", file=tmp_path / "no.json"), {}, now=NOW))
    assert "No such file" in error.details
