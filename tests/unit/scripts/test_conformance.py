"""The conformance script: what it reads of ginkgo's report, and the modules that it builds the tests from."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from sandbox.bundle.recipe import recipes

SCRIPTS = Path(__file__).parents[3] / "scripts" / "conformance"


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPTS / "report.py"))


def spec(name: str, state: str, *labels: str, why: str = "", kind: str = "It") -> dict[str, Any]:
    # ginkgo, types/types.go: SpecReport
    container = {"ContainerHierarchyTexts": ["[sig-x]"] if name else None, "ContainerHierarchyLabels": [["sig-x"]]}
    leaf = {"LeafNodeType": kind, "LeafNodeText": name, "LeafNodeLabels": list(labels) or None, "State": state}
    return {**container, **leaf, **({"Failure": {"Message": why}} if why else {})}


def read(report: dict[str, Any], path: Path, *specs: dict[str, Any], focus: str = "") -> Any:
    path.write_text(json.dumps([{"SpecReports": specs, "RunTime": 90_000_000_000}]))
    suite = report["Suite"](name="conformance", labels=("Conformance",), without=("Serial",))
    return report["read"](path, suite, focus, {"SCTP": "no module"})


def test_report_counts_tests_of_the_suite_alone(report: dict[str, Any], tmp_path: Path) -> None:
    others = [
        spec("d", "skipped", "Conformance", "Serial"),
        spec("e", "skipped"),
        spec("", "passed", kind="BeforeSuite"),
    ]
    tests = [spec("a", "passed", "Conformance"), spec("b", "failed", "Conformance", why="\n  expected 200\n  got 503")]
    tests += [spec("c", "skipped", "Conformance", why="two zones"), spec("SCTP", "skipped", "Conformance")]
    result = read(report, tmp_path / "report.json", *tests, *others)
    assert (result.passed, result.failed, result.minutes) == (1, {"[sig-x] b": "\n  expected 200\n  got 503"}, 1.5)
    assert result.skipped == {"[sig-x] c": "two zones", "[sig-x] SCTP": "no module"}
    page = report["markdown"]({"Kubernetes": "v1.36.3"}, [result])
    assert "| conformance | 1 | 1 | 2 | 1.5 |" in page
    assert "- failed: [sig-x] b: expected 200 got 503\n" in page and "- 1 skipped: no module\n" in page
    assert json.loads(report["as_json"]({}, [result]))["suites"][0]["skipped"] == result.skipped


def test_tests_of_another_patch_use_its_modules() -> None:
    programs = runpy.run_path(str(SCRIPTS / "programs.py"))
    recipe = programs["recipe_of"]("v1.36.9")
    text = programs["go_mod"](recipe, "v1.36.9")
    assert recipe is recipes()["kubernetes"]
    assert "\tk8s.io/kubernetes v1.36.9\n" in text
    assert "\tk8s.io/api => k8s.io/api v0.36.9\n" in text
    assert recipe.version not in text
