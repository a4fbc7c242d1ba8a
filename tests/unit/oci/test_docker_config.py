"""Accounts out of Docker's config.json and its helpers, which are real programs here."""

from __future__ import annotations

import base64
import json
import logging
import traceback
from pathlib import Path
from typing import Any

import pytest

from sandbox.oci.credential import Credential, CredentialsUnusable
from sandbox.oci.docker_config import HUB_KEY, DockerConfig
from tests.support.programs import make_program

CANARY = "c4nary-s3cret"


def config(folder: Path, **content: Any) -> DockerConfig:
    path = folder / "config.json"
    path.write_text(json.dumps(content))
    return DockerConfig(path)


def encoded(account: str) -> str:
    return base64.b64encode(account.encode()).decode()


def test_accounts_are_read_in_every_form_docker_has_written(tmp_path: Path) -> None:
    keychain = config(
        tmp_path,
        auths={
            "https://ghcr.io/v1/": {"auth": encoded("me:pass:with:colons")},
            "https://url.example/v2/": {"auth": encoded(f"you:{CANARY}")},
            "localhost:5001": {"auth": encoded("a:b")},
            "http://10.0.0.1:5000": {"auth": encoded("b:c")},
            "[::1]:5001": {"auth": encoded("c:d")},
            HUB_KEY: {"auth": encoded("d:e")},
            "token.example": {"auth": encoded("00000000-0000-0000-0000-000000000000:"), "identitytoken": CANARY},
            "empty.example": {},
        },
    )
    assert keychain.find("Ghcr.io:443") == Credential("me", "pass:with:colons")
    assert keychain.find("url.example") == Credential("you", CANARY)
    assert keychain.find("localhost:5001") == Credential("a", "b")
    assert keychain.find("10.0.0.1:5000") == Credential("b", "c")
    assert keychain.find("[::1]:5001") == Credential("c", "d")
    assert keychain.find("index.docker.io") == keychain.find("registry-1.docker.io:443") == Credential("d", "e")
    assert keychain.find("token.example") == Credential(identity=CANARY)
    assert keychain.find("empty.example") is None
    assert keychain.find("unknown.example") is None
    assert keychain.find("localhost:5002") is None


@pytest.mark.parametrize(
    "text",
    [
        f'{{"auths": {{"a": {{"auth": "{CANARY}',
        "[" * 100_000,
        json.dumps({"auths": {"a": {"auth": f"{CANARY}!"}}}),
        json.dumps({"auths": [CANARY]}),
        json.dumps({"auths": {"a": {"auth": base64.b64encode(b"\xff" + CANARY.encode()).decode()}}}),
    ],
)
def test_broken_file_is_named_and_not_repeated(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(CredentialsUnusable) as caught:
        DockerConfig(path).find("a")
    assert str(path) in caught.value.brief
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_helpers_are_asked_by_stdin_and_beat_the_file(tmp_path: Path, programs: Path) -> None:
    make_program(
        programs / "docker-credential-one",
        f'read server; echo "$1 $server" >>{programs}/asked; echo "a warning: {{}}, [{{\\"Username\\"}}" >&2\n'
        f'printf \'{{"ServerURL":"%s","Username":"me","Secret":"{CANARY}"}}\' "$server"',
    )
    make_program(programs / "docker-credential-all", """printf '{"Username":"<token>","Secret":"long"}'""")
    keychain = config(
        tmp_path,
        auths={"ghcr.io": {"auth": encoded("file:x")}, HUB_KEY: {}},
        credsStore="all",
        credHelpers={"ghcr.io": "one", HUB_KEY: "one"},
    )
    assert keychain.find("ghcr.io") == Credential("me", CANARY)
    assert keychain.find("registry-1.docker.io") == Credential("me", CANARY)
    assert keychain.find("other.example") == Credential(identity="long")
    assert (programs / "asked").read_text() == f"get ghcr.io\nget {HUB_KEY}\n"


@pytest.mark.parametrize(
    "script", [f"echo {CANARY}; exit 3", f"echo {CANARY}", f"""printf '{{"Username": "{CANARY}"}}'""", ""]
)
def test_helper_without_usable_answer_is_named_and_not_quoted(
    tmp_path: Path, programs: Path, script: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    make_program(programs / "docker-credential-bad", script)
    with pytest.raises(CredentialsUnusable) as caught:
        config(tmp_path, credsStore="bad").find("ghcr.io")
    assert "docker-credential-bad" in caught.value.brief
    assert "ghcr.io" in caught.value.brief
    assert CANARY not in "".join(traceback.format_exception(caught.value)) + caplog.text


@pytest.mark.parametrize("name", ["missing", "../../bin/sh", "a b", "-x;y"])
def test_helper_that_is_no_program_is_named(tmp_path: Path, programs: Path, name: str) -> None:
    with pytest.raises(CredentialsUnusable, match="credentials"):
        config(tmp_path, credsStore=name).find("ghcr.io")


def test_accounts_show_nothing(tmp_path: Path) -> None:
    account = Credential("user", CANARY, f"{CANARY}-2", f"{CANARY}-3")
    assert repr(account) == str(account) == "Credential()"
    keychain = config(tmp_path, auths={"a": {"auth": encoded(f"me:{CANARY}")}})
    keychain.find("a")
    assert CANARY not in repr(keychain)
