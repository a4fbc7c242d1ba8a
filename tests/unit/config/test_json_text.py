"""JSON of others that Python does not read is no JSON."""

from __future__ import annotations

import pytest

from sandbox.config import json_text


@pytest.mark.parametrize("text", ["[" * 100_000, b'{"a":' * 100_000, "", b"\xff", "{"], ids=lambda one: one[:5])
def test_text_that_is_no_json_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"line 1|nested|utf"):
        json_text.document(text)


@pytest.mark.parametrize(
    ("token", "claims"), [("a.eyJhIjoxfQ.b", {"a": 1}), ("a.W10.b", {}), ("a.!.b", {}), ("a", {}), ("", {})]
)
def test_claims_are_those_of_a_token(token: str, claims: dict[str, int]) -> None:
    assert json_text.claims(token) == claims
