"""JSON of others that Python does not read is no JSON."""

from __future__ import annotations

import pytest

from sandbox.config import json_text


@pytest.mark.parametrize(
    ("token", "claims"), [("a.eyJhIjoxfQ.b", {"a": 1}), ("a.W10.b", {}), ("a.!.b", {}), ("a", {}), ("", {})]
)
def test_claims_are_those_of_a_token(token: str, claims: dict[str, int]) -> None:
    assert json_text.claims(token) == claims
