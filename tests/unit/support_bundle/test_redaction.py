"""No form in which a secret is written survives, and what is no secret does."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.config.schema import Spec
from sandbox.config.schema.credentials_schema import Gcr
from sandbox.names import Home
from sandbox.support_bundle.redaction import HIDDEN, Redaction, on_this_machine, secrets_of

CANARY = "canary-4f1c9e"
PEM = f"-----BEGIN EC PRIVATE KEY-----\n{CANARY}\nMHcCAQEE\n-----END EC PRIVATE KEY-----"


@pytest.mark.security(6)
@pytest.mark.parametrize(
    "text",
    [
        f"password: {CANARY}",
        f"DB_PASSWORD={CANARY} next",
        f'{{"identitytoken": "{CANARY}"}}',
        f'{{"auths": {{"r.example": {{"auth": "{CANARY}"}}}}}}',
        f"GET http://me:{CANARY}@proxy.example:3128/ failed",
        f"https://{CANARY}@git.example/x",
        f"Authorization: Bearer {CANARY}",
        f'"Authorization": "Basic {CANARY}"',
        f"$ tool --password {CANARY} --other",
        f"$ tool --registry-token={CANARY}",
        f"client-key-data: {base64.b64encode(PEM.encode()).decode()}",
        f"aws_secret_access_key = {CANARY}",
        PEM,
        json.dumps({"data": PEM}),
        PEM[: PEM.index("MHc")],
        f"token eyJhbGciOiJIUzI1NiJ9.eyJ{CANARY}.c2ln",
        f"jwt-eyJhbGciOiJIUzI1NiJ9.eyJ{CANARY}.c2ln",
        json.dumps({"password": f'with "quotes" {CANARY}'}),
        json.dumps([json.dumps({"text": json.dumps({"token": f'a"b {CANARY}'})})]),
        json.dumps(["sh", "-c", f'PASSWORD="two words {CANARY}" app']),
        f'cut off: {{"token": "{CANARY}',
        f"pwd={CANARY}",
        f"DB_PASS={CANARY}",
        f"pass: {CANARY}",
        f"_auth = {CANARY}",
        f"https://me:pa@ss@{CANARY}@git.example/x",
        *(
            f"cloning with {prefix}{CANARY.replace('-', '')}0123456789"
            for prefix in ("ghp_", "gho_", "github_pat_", "npm_", "hf_", "sk_live_", "dop_v1_")
        ),
        *(f"{prefix}{CANARY}-0123456789" for prefix in ("glpat-", "dckr_pat_", "sk-", "ya29.", "hvs.")),
        f"xoxb-{CANARY}-0123456789 xoxp-{CANARY}",
        f"pypi-{CANARY}{'x' * 40}",
        f"AIza{CANARY}{'x' * 35}"[:39],
        f"SG.{CANARY}0123456789.{CANARY}0123456789",
        f"AccountName=x;AccountKey={CANARY};EndpointSuffix=core.windows.net",
        f"Authorization: Token {CANARY}",
        f"-H authorization:ApiKey {CANARY}, next",
        "AKIA0123456789ABCDEF said to AWS",
    ],
)
def test_whatever_looks_like_a_secret_is_hidden(text: str) -> None:
    """A secret in any form that logs and settings have → *** in the support archive."""
    shown = Redaction()(text)
    assert CANARY not in shown and CANARY.replace("-", "") not in shown and "PRIVATE KEY" not in shown
    assert "AKIA0123456789ABCDEF" not in shown
    assert base64.b64encode(CANARY.encode()).decode()[:8] not in shown
    assert HIDDEN in shown


@given(st.text("abc: ='\"\n{}", max_size=40), st.text("abc: ='\"\n{}", max_size=40))
def test_known_secrets_are_hidden_everywhere(before: str, after: str) -> None:
    assert CANARY not in Redaction([CANARY])(f"{before}{CANARY}{after}{CANARY}")


@pytest.mark.security(6)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_known_secrets_are_hidden_within_json(*, ascii_only: bool) -> None:
    """A known secret has quotes, backslashes or umlauts, which JSON writes differently → *** there too."""
    secret = f'pässwörd "{CANARY}" \\ more'
    shown = Redaction([secret])(json.dumps({"args": [f"--key={secret}"]}, ensure_ascii=ascii_only))
    assert shown == json.dumps({"args": [f"--key={HIDDEN}"]})


@pytest.mark.parametrize(
    "text",
    [
        "secretName: default-tls",
        "GET http://127.0.0.1:5001/v2/ 200",
        "image docker.io/library/busybox@sha256:" + "a" * 64,
        "MountVolume.SetUp failed: no secret of that name",
        "bypass: yes; 3 tests pass, compass=north",
        "task-0123456789012345678901234567890 in disk-0123456789012345678901234567890",
        "$ tool --output json --format wide",
    ],
)
def test_other_text_is_kept(text: str) -> None:
    assert Redaction(["short"])(text) == text


def test_a_file_of_secrets_gives_its_secret_parts() -> None:
    assert set(secrets_of('{"auths": {"r": {"auth": "YTpi", "email": "a@b"}}}')) == {"YTpi"}
    assert "MHcCAQEE" in set(secrets_of(PEM)) and not any("-----" in one for one in list(secrets_of(PEM))[1:])
    assert CANARY in set(secrets_of(f"[default]\naws_secret_access_key = {CANARY}\n"))
    deep = "[" * 100_000
    assert set(secrets_of(deep)) == {deep, ""}
    assert set(secrets_of('"just a string"')) == {'"just a string"'}


@pytest.mark.security(6)
@pytest.mark.parametrize("piece", ["a-", "password ", 'token=\\"', "--token-", "eyJ.", "//a:", "a@", "-----BEGIN "])
def test_the_time_grows_as_the_text_does(piece: str) -> None:
    """A log has one endless word, dashes or half secrets → four times the text takes about four times as long."""
    redact = Redaction()

    def seconds(length: int) -> float:
        text = (piece * length)[:length]
        begun = time.process_time()
        redact(text)
        return time.process_time() - begun

    least = [min(seconds(length) for _ in range(3)) for length in (20_000, 80_000)]
    assert least[1] < 10 * least[0] + 0.01  # sixteen times, were it quadratic


@pytest.mark.parametrize("text", ["since: 2026-13-45\n", "[" * 2000])
def test_kubeconfig_that_cannot_be_read_hides_no_other_secret(place: Home, tmp_path: Path, text: str) -> None:
    place.kubeconfig.write_text(text)
    environment = {"DOCKER_CONFIG": str(tmp_path), "http_proxy": f"http://me:{CANARY}@proxy.example"}
    assert CANARY in set(on_this_machine(place, Spec(name="demo"), environment))


@pytest.mark.security(6)
def test_accounts_that_the_environment_names_are_known(place: Home, tmp_path: Path) -> None:
    """A token in the environment, and in the file that it names for Google → both are hidden in a support archive."""
    key = tmp_path / "key.json"
    key.write_text(json.dumps({"type": "authorized_user", "refresh_token": CANARY}))
    environment = {"GOOGLE_APPLICATION_CREDENTIALS": str(key), "CI_TOKEN": "of-the-ci", "PWD": "/home/me/project"}
    found = set(on_this_machine(place, Spec(name="demo", credentials=(Gcr(kind="gcr"),)), environment))
    assert {CANARY, "of-the-ci"} <= found and "/home/me/project" not in found
