"""Token services that are down, in the way of a user, or not what they should be."""

from __future__ import annotations

import socket
from datetime import UTC, datetime

import pytest

from sandbox.components.credentials.token_service import AGAIN, TRIES, Service, read_refusal
from tests.support.token_services import CANARY, Services
from tests.unit.components.credentials.conftest import refusal

FORM = {"grant_type": "refresh_token", "refresh_token": f"{CANARY}-google-refresh", "client_secret": f"{CANARY}-x"}


def service(url: str) -> Service:
    return Service("the service", url, (f"{CANARY}-google-refresh", f"{CANARY}-x"), datetime.now(UTC))


def test_service_down_for_a_moment_is_retried(services: Services) -> None:
    services.google.client_secret = FORM["client_secret"]
    services.failures = TRIES - 1
    assert "access_token" in service(f"{services.url}/token").post_json(FORM)
    assert services.requests == TRIES


def test_service_that_stays_down_is_an_error(services: Services) -> None:
    services.failures = TRIES
    error = refusal(lambda: service(f"{services.url}/token").post(FORM))
    assert error.brief == "the service fails"
    assert error.details == f"HTTP status 503 from {services.url}/token"
    assert error.fix == AGAIN


def test_refusal_is_not_retried(services: Services) -> None:
    refusal(lambda: service(f"{services.url}/token").post(FORM))
    assert services.requests == 1


def test_unreachable_service_is_an_error() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    error = refusal(lambda: service(f"http://127.0.0.1:{port}/token").post(FORM))
    assert error.brief == "the service does not answer"
    assert "Connection refused" in error.details
    assert error.fix == AGAIN


@pytest.mark.fault(55)
@pytest.mark.security(10)
def test_service_with_untrusted_certificate_is_not_retried(services: Services) -> None:
    """A token service with an unknown certificate → refused at once, nothing sent."""
    error = refusal(lambda: service(f"https://{services.host}/token").post(FORM))
    assert error.brief == "the service cannot be trusted"
    assert "REQUESTS_CA_BUNDLE" in error.fix


@pytest.mark.parametrize("url", ["http://tokens.example.com/", "ftp://127.0.0.1/", "tokens"])
def test_secrets_are_not_sent_unencrypted(url: str) -> None:
    assert refusal(lambda: service(url).post(FORM)).brief == f"the service at {url} is not safe to use"


@pytest.mark.parametrize("body", [b"canary", b"[]", b'{"access_token": 1, "canary": 2}', b'{"access_token": ""}'])
def test_an_answer_that_is_none_is_not_repeated(services: Services, body: bytes) -> None:
    services.body = body
    asked = service(f"{services.url}/token")
    error = refusal(lambda: asked.text(asked.post_json(FORM), "access_token"))
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
    ],
)
def test_refusals_are_parsed_in_every_form_and_not_retried(body: bytes, said: str) -> None:
    assert str(read_refusal(body)) == said


def test_the_service_itself_shows_no_secret() -> None:
    assert CANARY not in repr(service("https://a"))
