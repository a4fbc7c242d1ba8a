"""What YAML and JSON documents say, as Kubernetes, a compose file and a spec are read, and which are refused."""

from __future__ import annotations

import pytest

from sandbox.config import json_text, yaml_text
from sandbox.config.yaml_text import Refused, compose_document, document, documents, placed_documents


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("a: b", {"a": "b"}),
        ("a: [1, 1.5, ~, true, '1', 2020-01-01, !!str 1]", {"a": [1, 1.5, None, True, "1", "2020-01-01", "1"]}),
        ("a: {b: {}, c: []}\na: d", {"a": "d"}),
        ("2: a\ntrue: b\nc: {1.5: d, e: f}", {"2": "a", "true": "b", "c": {"1.5": "d", "e": "f"}}),
        ("a: &x {b: c}\nd: *x\ne: {<<: *x, f: g}", {"a": {"b": "c"}, "d": {"b": "c"}, "e": {"b": "c", "f": "g"}}),
        ("a: {<<: [{b: 1, c: 1}, {b: 2}], c: 3}", {"a": {"b": 1, "c": 3}}),
        ("a: &x b\nc: *x", {"a": "b", "c": "b"}),
        ("a: yes\nb: 0x10\nc: 010", {"a": True, "b": 16, "c": 8}),
        ("", None),
    ],
)
def test_document_says_what_kubectl_reads(text: str, content: object) -> None:
    assert document(text) == content


def test_compose_file_has_truths_and_numbers_of_yaml_1_2() -> None:
    text = "a: [yes, 22:22, 0400, 1, 1.5, true, null]\nb: &x {c: d}\ne: {<<: *x}"
    assert compose_document(text) == {
        "a": ["yes", "22:22", "0400", 1, 1.5, True, None],
        "b": {"c": "d"},
        "e": {"c": "d"},
    }
    with pytest.raises(Refused, match="key 'a' is given twice, first on line 1"):
        compose_document("a: b\na: c")
    with pytest.raises(Refused, match=r"line 2: the tag '!reset' is not allowed"):
        compose_document("a:\n  b: !reset null")


def test_each_document_comes_with_its_line() -> None:
    assert placed_documents("---\na: b\n---\n\n- c\n") == [(2, {"a": "b"}), (5, ["c"])]
    with pytest.raises(Refused, match="line 4: a second document begins here"):
        document("a: b\n---\n\nc: d\n")


@pytest.mark.parametrize(
    "text",
    [
        "a: &x [*x]",
        "a: !!set {b}",
        "a: !!binary Yg==",
        "{[a]: b}",
        "a: .inf",
        "a: {<<: b}",
        "a: &x [1, 1]\nb: &y [*x, *x]\nc: [*y, *y]",
        "[1, 2, 3, 4, 5, 6]\n---\n[1, 2, 3, 4]",
    ],
)
def test_content_json_cannot_hold_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_text, "MAX_VALUES", 10)
    with pytest.raises(Refused):
        documents(text)


@pytest.mark.parametrize(
    ("token", "claims"), [("a.eyJhIjoxfQ.b", {"a": 1}), ("a.W10.b", {}), ("a.!.b", {}), ("a", {}), ("", {})]
)
def test_claims_are_those_of_a_token(token: str, claims: dict[str, int]) -> None:
    assert json_text.claims(token) == claims
