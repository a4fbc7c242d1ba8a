"""botocore against a double of AWS's services."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.components.credentials.registry_accounts import mint
from sandbox.components.credentials.registry_login import Login
from sandbox.config.schema.credentials_schema import Ecr
from sandbox.oci.credential import Credential
from tests.support.programs import make_program
from tests.support.token_services import CANARY, ECR_PASSWORD, REGION, ROLE, Services
from tests.unit.components.credentials.conftest import Write, refusal

HOST = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
JSON = {"AccessKeyId": "AKIDHOME", "SecretAccessKey": f"{CANARY}-aws-secret"}
KEYS = f"aws_access_key_id = AKIDHOME\naws_secret_access_key = {CANARY}-aws-secret\n"


@pytest.fixture(autouse=True)
def here(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS is the doubles, as an emulator of it is by the same variable."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", services.url)


def ask(entry: Ecr) -> Login:
    return mint(entry, os.environ, now=datetime.now(UTC))


def ecr(**fields: Any) -> Ecr:
    return Ecr(kind="ecr", **{"region": REGION, **fields})


def test_keys_become_a_password_for_twelve_hours(services: Services, write: Write) -> None:
    login = ask(ecr(file=write(f"[default]\n{KEYS}")))
    assert login.accounts == {HOST: Credential("AWS", ECR_PASSWORD)}
    assert login.expires is not None
    assert timedelta(hours=11, minutes=59) < login.expires - login.issued <= timedelta(hours=12, minutes=1)
    assert services.aws.asked == ["ecr AKIDHOME"]
    accounts = ("111111111111", "222222222222")
    login = ask(ecr(file=write(f"[default]\n{KEYS}"), accounts=accounts))
    assert login.accounts.keys() == {HOST.replace("123456789012", account) for account in accounts}


@pytest.mark.parametrize("fields", [{"profile": "work"}, {"role": ROLE}])
def test_role_is_assumed_with_the_keys_of_its_profile(services: Services, write: Write, fields: dict[str, str]) -> None:
    text = f"[default]\nregion = {REGION}\n{KEYS}[work]\nrole_arn = {ROLE}\nsource_profile = default\n"
    ask(ecr(file=write(text), **fields))
    assert services.aws.asked == ["sts AKIDHOME", "ecr ASIAROLE"]


def test_environment_keys_are_used_without_file_or_profile(
    services: Services, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDHOME")
    assert "AWS_SECRET_ACCESS_KEY" in refusal(lambda: ask(ecr())).details
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"{CANARY}-aws-secret")
    monkeypatch.setenv("AWS_REGION", REGION)
    assert ask(ecr(region=None)).accounts.keys() == {HOST}
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOTHER")
    for content in (f"[default]\n{KEYS}", JSON, {"AccessKey": JSON}, {"Credentials": JSON}):
        assert ask(ecr(file=write(content))).accounts.keys() == {HOST}
    assert services.aws.asked == ["ecr AKIDHOME"] * 5


@pytest.fixture
def dot_aws(isolated_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own folder, in which botocore keeps sign-ins; it looks for its place when it is imported."""
    folder = isolated_home / ".aws"
    (folder / "sso" / "cache").mkdir(parents=True)
    for kind in ("botocore.credentials.SSOProvider", "botocore.tokens.SSOTokenProvider"):
        monkeypatch.setattr(f"{kind}._SSO_TOKEN_CACHE_DIR", str(folder / "sso" / "cache"))
    return folder


def test_default_files_and_variables_are_those_of_aws(
    services: Services, dot_aws: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    (dot_aws / "credentials").write_text(f"[work]\n{KEYS}s3 =\n  max_concurrent_requests = 20\n")
    (dot_aws / "config").write_text(f"[profile work]\nregion = {REGION}\nendpoint_url = {services.url}\n")
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert ask(Ecr(kind="ecr")).accounts.keys() == {HOST}


SSO = f"""[profile work]
region = {REGION}
sso_session = company
sso_account_id = 123456789012
sso_role_name = puller
[profile shared]
role_arn = {ROLE}
source_profile = work
[sso-session company]
sso_region = {REGION}
sso_start_url = https://company.awsapps.com/start
"""


def sign_in(dot_aws: Path, token: str, *, ends: timedelta) -> None:
    """Leave what `aws sso login` leaves."""
    (dot_aws / "config").write_text(SSO)
    ended = f"{datetime.now(UTC) + ends:%Y-%m-%dT%H:%M:%SZ}"
    content = {"startUrl": "https://company.awsapps.com/start", "accessToken": token, "expiresAt": ended}
    file = dot_aws / "sso" / "cache" / f"{hashlib.sha1(b'company').hexdigest()}.json"  # noqa: S324  # AWS's choice
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("profile", "asked"),
    [
        ("work", ["sso 123456789012/puller", "ecr ASIASSO"]),
        ("shared", ["sso 123456789012/puller", "sts ASIASSO", "ecr ASIAROLE"]),
    ],
)
def test_sign_in_of_sso_becomes_a_password(services: Services, dot_aws: Path, profile: str, asked: list[str]) -> None:
    sign_in(dot_aws, services.aws.sign_in, ends=timedelta(hours=1))
    assert ask(Ecr(kind="ecr", profile=profile, region=REGION)).accounts.keys() == {HOST}
    assert services.aws.asked == asked


def test_sign_in_that_has_ended_is_named_with_its_fix(services: Services, dot_aws: Path) -> None:
    for token, hours in ((services.aws.sign_in, -1), ("canary-revoked", 1)):
        sign_in(dot_aws, token, ends=timedelta(hours=hours))
        error = refusal(lambda: ask(ecr(profile="shared")))
        assert error.brief == "the sign-in of the profile 'shared' has ended"
        assert error.fix.startswith("aws sso login --profile shared, or the profile that it builds on; then: sandbox")


def program(tmp_path: Path, text: str) -> str:
    file = make_program(tmp_path / "give keys", f"touch {shlex.quote(str(tmp_path / 'ran'))}\n{text}")
    return f'"{file}"'


def test_program_of_the_users_own_files_gives_keys(services: Services, dot_aws: Path, tmp_path: Path) -> None:
    given = program(tmp_path, f"echo '{json.dumps({'Version': 1, **JSON})}'")
    for name, header in (("config", "profile work"), ("credentials", "work")):
        (dot_aws / name).write_text(f"[{header}]\ncredential_process = {given}\n")
        assert ask(ecr(profile="work")).accounts.keys() == {HOST}
    assert ask(ecr(profile="work", file=dot_aws / "credentials")).accounts.keys() == {HOST}
    program(tmp_path, "echo canary >&2; exit 1")
    error = refusal(lambda: ask(ecr(profile="work")))
    assert error.brief == "the profile 'work' in the files of AWS cannot be used"
    assert error.details == "CredentialRetrievalError"


@pytest.mark.security(17)
@pytest.mark.parametrize(
    "line",
    ["credential_process = PROGRAM", "web_identity_token_file = /etc/hostname", "endpoint_url = https://x.example"],
)
def test_file_of_a_spec_names_no_program_file_or_address(
    services: Services, write: Write, tmp_path: Path, line: str
) -> None:
    """A file of AWS's that a spec names has a program or leads elsewhere → refused, nothing is run or sent."""
    line = line.replace("PROGRAM", program(tmp_path, f"echo '{json.dumps({'Version': 1, **JSON})}'"))
    text = f"[default]\n{KEYS}[work]\nrole_arn = {ROLE}\n{line}\n"
    error = refusal(lambda: ask(ecr(file=write(text))))
    assert error.brief.endswith(f"has {line.partition(' ')[0]}, which only your own AWS files may have")
    assert not (tmp_path / "ran").exists()
    assert services.aws.asked == []


def test_wrong_keys_are_refused(services: Services, write: Write) -> None:
    del services.aws.keys["AKIDHOME"]
    error = refusal(lambda: ask(ecr(file=write(f"[default]\n{KEYS}"))))
    assert error.brief == "AWS refuses these credentials"
    assert "UnrecognizedClientException" in error.details


@pytest.mark.parametrize(
    ("text", "profile", "reason"),
    [
        ("", None, "the profile 'default' in"),
        (f"[default]\n{KEYS}", "work", "cannot be used"),
        ("[work]\nsso_session = a\nsso_account_id = 1\n", "work", "cannot be used"),
        ("[work]\nrole_arn = a\nsource_profile = default\nmfa_serial = a\n", "work", "has mfa_serial"),
        ("[default\ncanary", None, "cannot be used"),
        ('{"AccessKeyId": "canary"}', None, "cannot be read"),
    ],
)
def test_files_without_usable_keys_are_refused(
    services: Services, write: Write, text: str, profile: str | None, reason: str
) -> None:
    error = refusal(lambda: ask(ecr(file=write(text), profile=profile)))
    assert reason in error.brief
    assert error.fix
    assert services.aws.asked == []


def test_region_is_needed(services: Services, write: Write) -> None:
    entry = ecr(file=write(f"[default]\n{KEYS}"), region=None)
    assert refusal(lambda: ask(entry)).brief == "no AWS region is known"
