"""Answers to an agent: pages, and hidden values."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from sandbox.kube.api import Cluster
from sandbox.mcp.answers import HIDDEN, PAGE, Answers, hide, secret_values
from tests.support.api_server import kubeconfig, serving

PASSWORD = "correct-horse-battery"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJlLW9mLWl0"


def test_pages_of_a_long_answer_have_all_of_it() -> None:
    answers = Answers()
    assert answers.first_page("\x1b[31mready\x1b[0m\x07\n") == "ready", "a short one is one page"
    text = "".join(f"{number}," for number in range(5000))
    first = answers.first_page(text)
    assert len(first) < PAGE + 200
    assert 'more(answer="answer-1", page=2)' in first
    pages: list[str] = []
    while page := answers.page("answer-1", len(pages) + 1):
        pages.append(page.rpartition("\n[page ")[0])
    assert "".join(pages) == text
    assert answers.page("answer-1", 0) is answers.page("answer-1", 99) is None


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
