"""The outline of a spec: everything in it, in force only what is given, and right when it is put in force."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.config import loader
from sandbox.config.schema import Spec
from sandbox.init.sample_config import inline, outline

GIVEN: dict[str, Any] = {
    "name": "shop",
    "registry": {"port": 5002},
    "edge": {"ports": ("auto", 8443)},
    "apply": ("k8s/", "more: odd.yaml"),
}


def uncommented(text: str) -> str:
    """The text as a user leaves it who takes away every `#` that has a key behind it."""
    lines = text.splitlines()
    return "\n".join(re.sub(r"^(\s*)#(?=\S| {2})", r"\1", line) for line in lines)


def test_only_what_is_given_is_in_force() -> None:
    assert yaml.safe_load(outline(Spec, GIVEN)) == {
        "name": "shop",
        "registry": {"port": 5002},
        "edge": {"ports": ["auto", 8443]},
        "apply": ["k8s/", "more: odd.yaml"],
    }


def test_every_key_is_there_with_its_meaning() -> None:
    text = outline(Spec, {})
    assert yaml.safe_load(text) is None
    for name, field in Spec.model_fields.items():
        assert re.search(rf"^#{name}:", text, re.MULTILINE), name
        assert field.description
        assert field.description.split()[0] in text


def test_uncommented_sample_equals_the_defaults() -> None:
    text = uncommented(outline(Spec, {}))
    assert Spec.model_fields.keys() <= set(yaml.safe_load(text))
    assert loader.parse(text, Spec, origin="outline") == Spec()


@pytest.mark.parametrize(
    "text", ["yes", "5001", "1e3", "~", "a: b", "# no", "", "tab\t", "é", "- x", "null", "0x1f", "..."]
)
def test_a_text_stays_a_text(text: str) -> None:
    assert yaml.safe_load(outline(Spec, {"push": text}))["push"] == text


@settings(deadline=None)
@given(st.text(min_size=1, max_size=20))
def test_any_text_stays_the_same_text(text: str) -> None:
    assert yaml.safe_load(outline(Spec, {"push": text}))["push"] == text


def test_keys_of_a_map_stay_the_same_text() -> None:
    value = {"a[0].b": "x", "c, d": 1, "e\\.f": True, "yes": {"{": "}"}}
    assert yaml.safe_load(inline(value)) == value
