"""No form in which a secret is written survives, and what is no secret does."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.support.redaction import HIDDEN, Redaction, secrets_of

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
        f"client-key-data: {base64.b64encode(PEM.encode()).decode()} {base64.b64encode(CANARY.encode()).decode()[:0]}",
        f"aws_secret_access_key = {CANARY}",
        PEM,
        json.dumps({"data": PEM}),
        PEM[: PEM.index("MHc")],
        f"token eyJhbGciOiJIUzI1NiJ9.eyJ{CANARY}.c2ln",
    ],
)
def test_whatever_looks_like_a_secret_is_hidden(text: str) -> None:
    """A secret in any form that logs and settings have → *** in the support archive."""
    shown = Redaction()(text)
    assert CANARY not in shown and "PRIVATE KEY" not in shown
    assert base64.b64encode(CANARY.encode()).decode()[:8] not in shown
    assert HIDDEN in shown


@given(st.text("abc: ='\"\n{}", max_size=40), st.text("abc: ='\"\n{}", max_size=40))
def test_what_is_known_is_hidden_anywhere(before: str, after: str) -> None:
    assert CANARY not in Redaction([CANARY])(f"{before}{CANARY}{after}{CANARY}")


@pytest.mark.parametrize(
    "text",
    [
        "kubelet: Started container app",
        "secretName: default-tls",
        "GET http://127.0.0.1:5001/v2/ 200",
        "image docker.io/library/busybox@sha256:" + "a" * 64,
        "MountVolume.SetUp failed: no secret of that name",
    ],
)
def test_what_is_no_secret_is_left(text: str) -> None:
    assert Redaction(["short"])(text) == text


def test_a_file_of_secrets_gives_its_secret_parts() -> None:
    assert set(secrets_of('{"auths": {"r": {"auth": "YTpi", "email": "a@b"}}}')) == {"YTpi"}
    assert "MHcCAQEE" in set(secrets_of(PEM)) and not any("-----" in one for one in list(secrets_of(PEM))[1:])
    assert CANARY in set(secrets_of(f"[default]\naws_secret_access_key = {CANARY}\n"))
    assert set(secrets_of('"just a string"')) == {'"just a string"'}
