"""YAML as kubectl understands it: what documents say, and which are refused."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from sandbox.config import yaml_text
from sandbox.config.yaml_text import Unusable, document, documents, placed_documents


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("a: b", {"a": "b"}),
        ("a: [1, 1.5, ~, true, '1', 2020-01-01, !!str 1]", {"a": [1, 1.5, None, True, "1", "2020-01-01", "1"]}),
        ("a: {b: {}, c: []}\na: d", {"a": "d"}),
        ("2: a\ntrue: b\nc: {1.5: d, e: f}", {"2": "a", "true": "b", "c": {"1.5": "d", "e": "f"}}),
        ("a: &x {b: c}\nd: *x\ne: {<<: *x, f: g}", {"a": {"b": "c"}, "d": {"b": "c"}, "e": {"b": "c", "f": "g"}}),
        ("a: &x b\nc: *x", {"a": "b", "c": "b"}),
        ("", None),
    ],
)
def test_document_says_what_kubectl_reads(text: str, content: object) -> None:
    assert document(text) == content


@pytest.mark.parametrize("text", ["a: [1\n", b"a: [1\n"])
def test_reason_is_told_with_lines_alone(text: str | bytes) -> None:
    with pytest.raises(yaml.YAMLError) as caught:
        yaml_text.document(text)
    assert yaml_text.reason(caught.value) == (
        "while parsing a flow sequence\n  in line 1, column 4\ndid not find expected ',' or ']'\n  in line 2, column 1"
    )


def test_each_document_comes_with_its_line() -> None:
    assert placed_documents("---\na: b\n---\n\n- c\n") == [(2, {"a": "b"}), (5, ["c"])]


@pytest.mark.parametrize(
    "text",
    [
        "a: &x [*x]",
        "a: !!set {b}",
        "a: !!binary Yg==",
        "{[a]: b}",
        "[" * 150 + "]" * 150,
        "a: &x [1, 1]\nb: &y [*x, *x]\nc: [*y, *y]",
        "[1, 2, 3, 4, 5, 6]\n---\n[1, 2, 3, 4]",
    ],
)
def test_content_json_cannot_hold_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_text, "MAX_VALUES", 10)
    with pytest.raises(yaml.YAMLError):
        documents(text)


def test_depth_that_is_allowed_is_read_and_one_more_is_not() -> None:
    def nested(levels: int) -> Any:
        return document("[" * levels + "]" * levels)

    assert nested(yaml_text.MAX_DEPTH) is not None
    with pytest.raises(Unusable, match="levels deep"):
        nested(yaml_text.MAX_DEPTH + 1)
