"""Token services that are down, in the way of a user, or not what they should be."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox.components.credentials.token_service import AGAIN, TRIES, Service, read_refusal, secrets_in
from tests.support.token_services import CANARY, Services
from tests.unit.components.credentials.conftest import refusal

FORM = {"grant_type": "refresh_token", "refresh_token": f"{CANARY}-google-refresh", "client_secret": f"{CANARY}-x"}


def service() -> Service:
    return Service("the service", datetime.now(UTC))


def post(url: str) -> Mapping[str, Any]:
    return service().post_json(url, FORM)


def test_service_down_for_a_moment_is_retried(services: Services) -> None:
    services.google.client_secret = FORM["client_secret"]
    services.failures = TRIES - 1
    assert "access_token" in post(f"{services.url}/token")
    assert services.requests == TRIES


def test_service_that_stays_down_is_an_error(services: Services) -> None:
    services.failures = TRIES
    error = refusal(lambda: post(f"{services.url}/token"))
    assert error.brief == "the service fails"
    assert error.details == f"HTTP status 503 from {services.url}/token"
    assert error.fix == AGAIN


def test_refusal_is_not_retried(services: Services) -> None:
    refusal(lambda: post(f"{services.url}/token"))
    assert services.requests == 1


def test_unreachable_service_is_an_error() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    error = refusal(lambda: post(f"http://127.0.0.1:{port}/token"))
    assert error.brief == "the service does not answer"
    assert "Connection refused" in error.details
    assert error.fix == AGAIN


def test_service_whose_ca_the_system_has_is_trusted(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    services.google.client_secret = FORM["client_secret"]
    assert "access_token" in post(f"{services.authority}/token")


@pytest.mark.fault(55)
@pytest.mark.security(10)
def test_service_with_untrusted_certificate_is_not_retried(services: Services) -> None:
    """A token service with an unknown certificate → refused at once, nothing sent."""
    error = refusal(lambda: post(f"https://{services.host}/token"))
    assert error.brief == "the service cannot be trusted"
    assert "REQUESTS_CA_BUNDLE" in error.fix


@pytest.mark.parametrize("url", ["http://tokens.example.com/", "ftp://127.0.0.1/", "tokens"])
def test_secrets_are_not_sent_unencrypted(url: str) -> None:
    assert refusal(lambda: post(url)).brief == f"the service at {url} is not safe to use"


@pytest.mark.parametrize(
    "body",
    [b"canary", b"[]", b'{"access_token": 1, "canary": 2}', b'{"access_token": ""}', b"[" * 60_000],
    ids=lambda one: one[:20],
)
def test_an_answer_that_is_none_is_not_repeated(services: Services, body: bytes) -> None:
    services.body = body
    error = refusal(lambda: service().text(post(f"{services.url}/token"), "access_token"))
    assert error.brief == "the service gave an unusable answer"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            b'{"error": "invalid_grant", "error_description": "Bad Request\\r\\nTrace ID: 1"}',
            "invalid_grant: Bad Request",
        ),
        (b'{"__type": "com.amazonaws#AccessDeniedException", "Message": "no"}', "AccessDeniedException: no"),
        (b'{"errors": [{"code": "UNAUTHORIZED", "message": "no", "detail": "canary"}]}', "UNAUTHORIZED: no"),
        (b"<ErrorResponse><Error><Code>Bad</Code><Message>no</Message></Error></ErrorResponse>", "Bad: no"),
        (b"<html>canary</html>", ""),
        (b'{"error": {"code": "canary"}}', ""),
        (b'{"errors": []}', ""),
        (b"canary", ""),
        (b"\xff", ""),
        (b"[" * 60_000, ""),
    ],
    ids=lambda one: one[:20],
)
def test_refusals_are_parsed_in_every_form_and_not_retried(body: bytes, said: str) -> None:
    assert str(read_refusal(body)) == said


@pytest.mark.parametrize(
    ("headers", "data"),
    [
        ({"Authorization": "Bearer canary"}, None),
        ({"X-Amz-Security-Token": "canary"}, b""),
        ({}, {"client_secret": "canary", "scope": "everything"}),
        ({}, b"Action=AssumeRole&ExternalId=canary"),
        ({}, b'{"clientId": "me", "refreshToken": "canary"}'),
    ],
)
def test_secrets_of_a_request_are_known(headers: dict[str, str], data: Any) -> None:
    assert "canary" in secrets_in(headers, data)
    assert not {"me", "everything", "AssumeRole"} & set(secrets_in(headers, data))


@pytest.mark.security(11)
def test_redirect_of_a_token_service_is_not_followed(services: Services) -> None:
    """A token service redirects a request that holds a token → refused, the other address gets nothing."""
    services.redirect = f"{services.url}/token"
    error = refusal(lambda: service().ask(f"{services.url}/elsewhere", None, {"X-Token": CANARY}, method="GET"))
    assert error.details.startswith("HTTP status 302")
    assert services.requests == 1
