"""google-auth against a double of Google's services that verifies the signature of every JWT and its times."""

from __future__ import annotations

import os
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
    assert login.expires is not None
    assert timedelta(minutes=59) < login.expires - login.issued <= timedelta(seconds=3599)
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


def workload(services: Services, write: Write, monkeypatch: pytest.MonkeyPatch, **source: Any) -> Path:
    """A workload identity in the file that the user's environment names."""
    file = write(services.google.workload_file(services.url, source))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    return file


def test_workload_identity_becomes_a_token(
    services: Services, write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    subject = tmp_path / "subject"
    subject.write_text(services.google.subject)
    workload(services, write, monkeypatch, file=str(subject))
    login = mint(Gcr(kind="gcr"), os.environ, now=NOW)
    assert login.accounts["gcr.io"].password == GOOGLE_TOKEN
    assert all(scope.endswith(("read-only", "read_only")) for scope in services.google.scopes[0].split())
    subject.write_text("canary-other")
    error = refusal(lambda: mint(Gcr(kind="gcr"), os.environ, now=NOW))
    assert "invalid_grant: The token *** is not of the pool." in error.details
    subject.unlink()
    error = refusal(lambda: mint(Gcr(kind="gcr"), os.environ, now=NOW))
    assert error.details == f"File '{subject}' was not found."


def test_workload_identity_by_a_program_is_off_by_default(
    services: Services, write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    workload(services, write, monkeypatch, executable={"command": f"/usr/bin/touch {ran}"})
    assert "Executables" in refusal(lambda: mint(Gcr(kind="gcr"), os.environ, now=NOW)).details
    assert not ran.exists()


@pytest.mark.security(11)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, "it sends a token to http://127.0.0.1"),
        ({"token_url": "https://tokens.example.com/"}, "it sends a token to https://tokens.example.com/"),
        (
            {"token_url": "https://tokens.example.com\\@x.googleapis.com"},
            "to https://tokens.example.com/@x.googleapis.com,",
        ),
        ({"token_url": "", "universe_domain": "example.com"}, "it sends a token to https://sts.example.com"),
        ({"credential_source": {"executable": {"command": "/bin/true"}}}, "it runs a program"),
    ],
)
def test_workload_identity_of_a_spec_goes_to_google_only(
    services: Services, write: Write, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], reason: str
) -> None:
    """A file that a spec names reads a token of this machine, and sends it elsewhere → refused, nothing is read."""
    monkeypatch.setenv("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1")
    file = write({**services.google.workload_file(services.url, {"file": "/etc/hostname"}), **change})
    error = refusal(lambda: mint(Gcr(kind="gcr", file=file), os.environ, now=NOW))
    assert error.brief == f"{file} cannot be used"
    assert reason in error.details
    assert error.fix.endswith(f"GOOGLE_APPLICATION_CREDENTIALS={file}")
    assert services.requests == 0


def test_service_account_is_impersonated_by_a_login(
    services: Services, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("google.auth.iam._IAM_ENDPOINT", services.url + "/impersonate/{}:generateAccessToken")
    monkeypatch.setattr("google.oauth2.credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT", f"{services.url}/token")
    services.google.federated = services.google.token
    content = {
        "type": "impersonated_service_account",
        "service_account_impersonation_url": f"https://iamcredentials.googleapis.com/v1/{services.google.email}"
        ":generateAccessToken",
        "source_credentials": services.google.consent_file(services.url),
    }
    login = mint(Gcr(kind="gcr", file=write(content)), {}, now=NOW)
    assert login.accounts["gcr.io"].password == GOOGLE_TOKEN
    assert all(scope.endswith(("read-only", "read_only")) for scope in services.google.scopes[0].split())


@pytest.mark.parametrize("body", [b"canary", b"[]", b"{}", b'{"access_token": ""}', b'{"access_token": {"canary": 1}}'])
def test_answer_without_a_token_is_unusable(services: Services, write: Write, body: bytes) -> None:
    services.body = body
    for content in (services.google.key_file(services.url), services.google.consent_file(services.url)):
        file = write(content)
        error = refusal(lambda: mint(Gcr(kind="gcr", file=file), {}, now=NOW))  # noqa: B023  # called at once
        assert error.brief == "Google's token service gave an unusable answer"


def test_key_is_sent_over_https_only(services: Services, write: Write) -> None:
    content = services.google.key_file("http://tokens.example.com")
    error = refusal(lambda: mint(Gcr(kind="gcr", file=write(content)), {}, now=NOW))
    assert error.brief == "Google's token service at http://tokens.example.com/token is not safe to use"


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
    services.ahead = -ahead
    error = refusal(lambda: mint(entry, {}, now=datetime.now(UTC)))
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
        ({"type": "gdch_service_account"}, "type service_account or authorized_user"),
        ({"type": "external_account"}, "not of the form of external_account"),
        ({"type": "impersonated_service_account"}, "not of the form of impersonated_service_account"),
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
