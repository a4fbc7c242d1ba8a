"""Every error that the code can raise has an id, and every id advice and a place in docs/errors.md; none is idle."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import requests
import urllib3

from sandbox.advice import registry
from sandbox.errors import SandboxError
from sandbox.sanitize import cause
from tests.support.ports import free_port
from tests.support.sources import dotted, nodes

ROOT = Path(__file__).resolve().parents[2]


def kinds() -> set[str]:
    """The names of SandboxError and of the classes derived from it, wherever they are."""
    found = {"SandboxError"}
    classes = {
        node.name: {one.id for one in node.bases if isinstance(one, ast.Name)}
        for _, node in nodes()
        if isinstance(node, ast.ClassDef)
    }
    while True:
        more = {name for name, bases in classes.items() if found & bases}
        if more <= found:
            return found
        found |= more


def ids() -> dict[str, str]:
    """Every id that a class or a single error has, with one place where it is given."""
    found, errors = {}, kinds()
    for path, node in nodes():
        match node:
            case ast.ClassDef(name=name, body=body) if name in errors:
                values = [one.value for one in body if isinstance(one, ast.Assign) and dotted(one.targets[0]) == "id"]
            case ast.Call(func=ast.Name(id=called), keywords=keywords) if called in errors:
                values = [one.value for one in keywords if one.arg == "id"]
            case _:
                continue
        for value in values:
            assert isinstance(value, ast.Constant), (
                f"sandbox/{path}:{node.lineno}: an id is written out, so that it can be found"
            )
            found[str(value.value)] = f"sandbox/{path}:{node.lineno}"
    return found


def test_every_id_has_advice_and_every_advice_an_error() -> None:
    found = ids()
    assert len(kinds()) > 15 and len(found) > 30  # the walk sees something
    missing = {id: place for id, place in found.items() if id not in registry()}
    assert not missing, "sandbox/advice.yaml wants them"
    assert not registry().keys() - found.keys(), "sandbox/advice.yaml has no use for them"
    assert list(registry()) == sorted(registry())
    for id, about in registry().items():
        assert all(text.strip() for text in about), id


def test_the_page_is_current_and_has_a_place_for_each() -> None:
    script = [sys.executable, str(ROOT / "scripts" / "errors-docs")]
    page = (ROOT / "docs" / "errors.md").read_text()
    assert subprocess.run(script, capture_output=True, text=True, check=True).stdout == page, "scripts/errors-docs"
    assert [line[3:] for line in page.splitlines() if line.startswith("## ")] == list(registry())


@pytest.mark.security(6, 12)
def test_untrusted_text_is_sanitized() -> None:
    """Escape sequences and a URL with an account in a server's answer → shown without either."""
    said = "\x1b[1;91m\x1b]0;title\x07at\u202e tcp://me:canary@host:1\nand\tso on"
    error = SandboxError(said, details=said, fix=said)
    for text in (error.brief, error.details, error.fix, str(error)):
        assert "at tcp://host:1\nand\tso on" in text
        assert not any(c in text for c in "\x1b\x07\u202e")
    assert "canary" not in str(error.args)


@pytest.mark.parametrize("ask", [requests.get, partial(urllib3.PoolManager(retries=1).request, "GET")])
def test_the_cause_is_what_the_system_said(ask: Callable[[str], object]) -> None:
    with pytest.raises((requests.RequestException, urllib3.exceptions.HTTPError)) as caught:
        ask(f"http://127.0.0.1:{free_port()}/")
    assert cause(caught.value) == "Connection refused"
