"""AWS's STS and ECR, by a double that recomputes every signature."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.components.credentials.aws import Keys, Scope, signed
from sandbox.components.credentials.registry_accounts import mint, resolved
from sandbox.components.credentials.registry_login import Login
from sandbox.config.schema.credentials_schema import Ecr
from tests.support.token_services import CANARY, ECR_PASSWORD, REGION, ROLE, Services
from tests.unit.components.credentials.conftest import refusal

NOW = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
SCOPE = Scope("us-east-1", "service")
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SESSION = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7"
    "mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+"
    "xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)
FORM = "application/x-www-form-urlencoded"
Write = Callable[..., Path]
HOST = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
KEYS = f"aws_access_key_id = AKIDHOME\naws_secret_access_key = {CANARY}-aws-secret\n"


@pytest.mark.parametrize(
    ("method", "headers", "body", "names", "signature"),
    [
        ("GET", {}, b"", "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", {}, b"", "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            "POST",
            {"My-Header1": "value1"},
            b"",
            "host;my-header1;x-amz-date",
            "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
        ),
        (
            "POST",
            {"My-Header1": "VALUE1"},
            b"",
            "host;my-header1;x-amz-date",
            "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
        ),
        (
            "GET",
            {"My-Header1": " value1", "My-Header2": ' "a   b   c"'},
            b"",
            "host;my-header1;my-header2;x-amz-date",
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        ),
        (
            "POST",
            {"Content-Type": FORM},
            b"Param1=value1",
            "content-type;host;x-amz-date",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ],
    ids=[
        "get-vanilla",
        "post-vanilla",
        "post-header-key-sort",
        "post-header-value-case",
        "get-header-value-trim",
        "post-x-www-form-urlencoded",
    ],
)
def test_a_request_has_the_published_signature(
    method: str, headers: dict[str, str], body: bytes, names: str, signature: str
) -> None:
    sent = signed(method, "https://example.amazonaws.com/", headers, body, Keys("AKIDEXAMPLE", SECRET), SCOPE, now=NOW)
    assert sent["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}"
    )


def test_keys_that_end_are_signed_with_their_session() -> None:
    keys = Keys("AKIDEXAMPLE", SECRET, SESSION)
    sent = signed("POST", "https://example.amazonaws.com/", {}, b"", keys, SCOPE, now=NOW)
    assert sent["X-Amz-Security-Token"] == SESSION
    assert sent["Authorization"].endswith(
        "SignedHeaders=host;x-amz-date;x-amz-security-token, "
        "Signature=85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"
    )


def test_keys_show_no_secret() -> None:
    assert SECRET not in repr(Keys("AKIDEXAMPLE", SECRET, SESSION))
    assert SESSION not in repr(Keys("AKIDEXAMPLE", SECRET, SESSION))


def ask(services: Services, entry: Ecr, environ: dict[str, str] | None = None, ahead: timedelta = timedelta()) -> Login:
    return mint(entry, {"AWS_ENDPOINT_URL": services.url, **(environ or {})}, now=datetime.now(UTC) + ahead)


def ecr(**fields: Any) -> Ecr:
    return Ecr(kind="ecr", **{"region": REGION, **fields})


def test_keys_become_a_password_for_twelve_hours(services: Services, write: Write) -> None:
    login = ask(services, ecr(file=write(f"[default]\n{KEYS}")))
    assert login.accounts.keys() == {HOST}
    account = login.accounts[HOST]
    assert (account.username, account.password) == ("AWS", ECR_PASSWORD)
    assert login.expires is not None
    assert timedelta(hours=11, minutes=59) < login.expires - login.issued <= timedelta(hours=12, seconds=1)
    assert services.aws.asked == ["ecr AKIDHOME"]


def test_the_password_serves_the_accounts_that_are_named(services: Services, write: Write) -> None:
    accounts = ("111111111111", "222222222222")
    login = ask(services, ecr(file=write(f"[default]\n{KEYS}"), accounts=accounts))
    assert login.accounts.keys() == {HOST.replace("123456789012", one) for one in accounts}


@pytest.mark.parametrize("external_id", ["", f"{CANARY}-external"])
def test_a_role_is_assumed_with_the_keys(services: Services, write: Write, external_id: str) -> None:
    services.aws.external_id = external_id
    more = f"external_id = {external_id}\n" if external_id else ""
    text = f"[default]\nregion = {REGION}\n{KEYS}[work]\nrole_arn = {ROLE}\nsource_profile = default\n{more}"
    ask(services, ecr(file=write(text), profile="work"))
    assert services.aws.asked == ["sts AKIDHOME", "ecr ASIAROLE"]


def test_the_entrys_role_comes_last(services: Services, write: Write) -> None:
    ask(services, ecr(file=write(f"[default]\n{KEYS}"), role=ROLE))
    assert services.aws.asked == ["sts AKIDHOME", "ecr ASIAROLE"]


def test_a_role_that_may_not_be_assumed_is_named(services: Services, write: Write) -> None:
    entry = ecr(file=write(f"[default]\n{KEYS}"), role="arn:aws:iam::1:role/other")
    error = refusal(lambda: ask(services, entry))
    assert error.brief == "AWS STS refuses these credentials"
    assert "AccessDenied: not authorized to perform: sts:AssumeRole on arn:aws:iam::1:role/other" in error.details
    assert "IAM" in error.fix


@pytest.mark.parametrize(
    "content",
    [
        {"AccessKeyId": "AKIDHOME", "SecretAccessKey": f"{CANARY}-aws-secret"},
        {"AccessKey": {"AccessKeyId": "AKIDHOME", "SecretAccessKey": f"{CANARY}-aws-secret"}},
        {"Credentials": {"AccessKeyId": "AKIDHOME", "SecretAccessKey": f"{CANARY}-aws-secret"}},
    ],
    ids=["export-credentials", "create-access-key", "sts"],
)
def test_output_of_the_aws_command_is_read_as_a_file(services: Services, write: Write, content: Any) -> None:
    assert ask(services, ecr(file=write(content))).accounts.keys() == {HOST}


def test_environment_keys_are_used_without_file_or_profile(services: Services) -> None:
    environ = {"AWS_ACCESS_KEY_ID": "AKIDHOME", "AWS_SECRET_ACCESS_KEY": f"{CANARY}-aws-secret"}
    assert ask(services, ecr(), environ).accounts.keys() == {HOST}
    session = f"{CANARY}-session"
    services.aws.keys["ASIA"] = (f"{CANARY}-other", session)
    ending = {
        "AWS_ACCESS_KEY_ID": "ASIA",
        "AWS_SECRET_ACCESS_KEY": f"{CANARY}-other",
        "AWS_SESSION_TOKEN": session,
        "AWS_REGION": REGION,
    }
    ask(services, ecr(region=None), ending)
    assert services.aws.asked == ["ecr AKIDHOME", "ecr ASIA"]
    error = refusal(lambda: ask(services, ecr(), {"AWS_ACCESS_KEY_ID": "AKIDHOME"}))
    assert "AWS_SECRET_ACCESS_KEY is not" in error.brief


def test_the_usual_files_and_variables_are_those_of_aws(services: Services, home: Path) -> None:
    folder = home / ".aws"
    folder.mkdir()
    (folder / "credentials").write_text(f"[work]\n{KEYS}s3 =\n  max_concurrent_requests = 20\n")
    (folder / "config").write_text(f"[profile work]\nregion = {REGION}\nendpoint_url = {services.url}\n")
    entry = resolved(Ecr(kind="ecr"), {"AWS_PROFILE": "work"})
    assert entry == Ecr(kind="ecr", profile="work")
    assert mint(entry, {}, now=datetime.now(UTC)).accounts.keys() == {HOST}


def test_custom_endpoint_is_set_by_a_variable_for_it_alone(services: Services, write: Write) -> None:
    entry = ecr(file=write(f"[default]\n{KEYS}"))
    environ = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_ECR": services.url}
    assert mint(entry, environ, now=datetime.now(UTC)).accounts.keys() == {HOST}


def test_a_wrong_secret_is_refused(services: Services, write: Write) -> None:
    services.aws.keys["AKIDHOME"] = ("another", "")
    error = refusal(lambda: ask(services, ecr(file=write(f"[default]\n{KEYS}"))))
    assert error.brief == "Amazon ECR refuses these credentials"
    assert "InvalidSignatureException" in error.details
    assert "aws sts get-caller-identity" in error.fix


def test_keys_that_have_ended_are_refused(services: Services, write: Write) -> None:
    services.aws.ended = frozenset({"AKIDHOME"})
    error = refusal(lambda: ask(services, ecr(file=write(f"[default]\n{KEYS}"))))
    assert "ExpiredTokenException" in error.details
    assert error.fix == "sign in again, then: sandbox credentials refresh"


def test_a_session_that_is_repeated_by_the_service_is_hidden(services: Services, write: Write) -> None:
    text = f"[default]\n{KEYS}aws_session_token = {CANARY}-stale\n"
    error = refusal(lambda: ask(services, ecr(file=write(text))))
    assert "Not the token ***" in error.details


@pytest.mark.parametrize(("minutes", "side"), [(-30, "behind"), (30, "ahead of")])
def test_a_wrong_clock_is_named_as_the_reason(services: Services, write: Write, minutes: int, side: str) -> None:
    entry = ecr(file=write(f"[default]\n{KEYS}"))
    error = refusal(lambda: ask(services, entry, ahead=timedelta(minutes=minutes)))
    assert f"this machine's clock is 30 minutes {side} the service's" in error.details
    assert error.fix.startswith("set this machine's clock")


@pytest.mark.parametrize("body", [b"{}", b'{"authorizationData": []}', b'{"authorizationData": [{}]}'])
def test_an_answer_without_a_token_is_unusable(services: Services, write: Write, body: bytes) -> None:
    services.body = body
    error = refusal(lambda: ask(services, ecr(file=write(f"[default]\n{KEYS}"))))
    assert error.brief == "Amazon ECR gave an unusable answer"
    role = refusal(lambda: ask(services, ecr(file=write(f"[default]\n{KEYS}"), role=ROLE)))
    assert role.brief == "AWS STS gave an unusable answer"


@pytest.mark.parametrize(
    ("text", "profile", "reason"),
    [
        ("", None, "the profile 'default' in"),
        (f"[default]\n{KEYS}", "work", "has no keys"),
        ("[work]\nrole_arn = a\nsource_profile = work\n", "work", "is its own source"),
        ("[work]\nsso_session = a\n", "work", "has sso_session, which only the AWS command line can use"),
        ("[work]\ncredential_process = a\n", "work", "has credential_process"),
        ("[work]\nrole_arn = a\nmfa_serial = a\n", "work", "has mfa_serial"),
        ("canary", None, "cannot be read"),
        ("[default\ncanary", None, "cannot be read"),
        ('{"AccessKeyId": "canary"}', None, "cannot be read"),
    ],
)
def test_files_without_usable_keys_are_refused(
    services: Services, write: Write, text: str, profile: str | None, reason: str
) -> None:
    error = refusal(lambda: ask(services, ecr(file=write(text), profile=profile)))
    assert reason in error.brief
    assert error.fix
    assert services.requests == 0


def test_a_region_is_needed(services: Services, write: Write) -> None:
    entry = ecr(file=write(f"[default]\n{KEYS}"), region=None)
    assert refusal(lambda: ask(services, entry)).brief == "no AWS region is known"
