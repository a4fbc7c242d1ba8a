"""Annotations without effect are named with what to use instead; those that have one are not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.components.ingress.unserved import PREFIX, known, without_effect


def said(**annotations: str) -> list[str]:
    named = {f"{PREFIX}/{name.replace('_', '-')}": value for name, value in annotations.items()}
    return list(without_effect({"metadata": {"name": "web", "annotations": named}}))


@pytest.mark.parametrize(
    ("annotations", "note"),
    [
        (
            {"denylist_source_range": "10.0.0.0/8"},
            "denylist-source-range has no effect: configuration-snippet with deny",
        ),
        ({"limit_rate": "5"}, "limit-rate has no effect"),
        ({"rewritetarget": "/"}, "rewritetarget has no effect: it is not known"),
        (
            {"configuration_snippet": 'more_set_headers "a: b; gzip on;";\nsub_filter a b;  # lua;\n'},
            "configuration-snippet: the directive sub_filter is not supported, so that the host is not served",
        ),
        ({"server_snippet": "location /x { return 200 ok; }\nif ($a) { sub_filter a b; }"}, "the directive sub_filter"),
    ],
)
def test_annotation_without_effect_is_named_with_another_way(annotations: dict[str, str], note: str) -> None:
    (found,) = said(**annotations)
    assert note in found


@pytest.mark.parametrize(
    "annotations",
    [
        {"rewrite_target": "/$2", "use_regex": "true", "canary_weight": "10"},
        {"configuration_snippet": "add_header X 'a; b';\nproxy_set_header Host $host;\nif ($x) { return 403; }"},
    ],
)
def test_annotation_that_works_is_not_named(annotations: dict[str, str]) -> None:
    assert said(**annotations) == []


def test_annotation_of_another_controller_is_named_with_it() -> None:
    annotations = {"alb.ingress.kubernetes.io/scheme": "internal", "cert-manager.io/cluster-issuer": "x"}
    (note,) = without_effect({"metadata": {"annotations": annotations}})
    assert note == "alb.ingress.kubernetes.io/scheme has no effect: it is for the AWS Load Balancer Controller"


def test_each_annotation_is_known_once() -> None:
    assert not set(known().works) & set(known().ignored)
    assert all(isinstance(one, str) for one in [*known().works.values(), *known().ignored.values()])


def test_the_page_is_current() -> None:
    root = Path(__file__).parents[4]
    script = [sys.executable, str(root / "scripts" / "annotations-docs")]
    page = (root / "docs" / "ingress-annotations.md").read_text(encoding="utf-8")
    assert subprocess.run(script, capture_output=True, text=True, check=True).stdout == page, "scripts/annotations-docs"
