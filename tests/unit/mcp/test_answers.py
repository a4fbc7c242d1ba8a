"""Answers to an agent: short, and with hidden values."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from sandbox.kube.api import Cluster
from sandbox.mcp.answers import HIDDEN, LONGEST, hide, secret_values, short
from tests.support.api_server import kubeconfig, serving

PASSWORD = "correct-horse-battery"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJlLW9mLWl0"


def test_long_answer_has_its_beginning_and_its_end() -> None:
    assert short("\x1b[31mready\x1b[0m\x07\n") == "ready"
    answer = short(f"begin {'x' * LONGEST} end")
    assert answer.startswith("begin ") and answer.endswith(" end")
    assert "[10 characters left out: ask for less" in answer and len(answer) < LONGEST + 200


@pytest.mark.parametrize(
    "form", [PASSWORD, base64.b64encode(PASSWORD.encode()).decode(), PASSWORD.encode().hex(), "second-line-of-it"]
)
def test_values_of_secrets_are_hidden_in_every_form(tmp_path: Path, form: str) -> None:
    values = {"password": PASSWORD, "lines": "first-line-of-it\nsecond-line-of-it"}
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login", "namespace": "shop"}, "data": data}
    with serving() as server:
        server.objects["/api/v1/namespaces/shop/secrets/login"] = secret
        kubeconfig(tmp_path / "kubeconfig", server.server_port)
        secrets = secret_values(Cluster(tmp_path / "kubeconfig"), None)
    assert hide(f"it is <{form}>", secrets) == f"it is <{HIDDEN}>"


@pytest.mark.parametrize(
    "text",
    [TOKEN, "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\nMI"],
)
def test_tokens_and_private_keys_are_hidden_wherever_they_come_from(text: str) -> None:
    assert hide(f"<{text}", frozenset()) == f"<{HIDDEN}"
