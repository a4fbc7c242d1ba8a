"""Reads what ginkgo reports of a suite, and writes the results of all suites as text, JSON and Markdown."""

from __future__ import annotations

import dataclasses
import json
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Suite:
    """The tests that have all of `labels` and none of `without`, run in `processes` at once."""

    name: str
    labels: tuple[str, ...]
    without: tuple[str, ...] = ()
    processes: int = 1

    @property
    def filter(self) -> str:
        """Return ginkgo's label filter for them."""
        return " && ".join([*(f"/^{one}$/" for one in self.labels), *(f"!/^{one}$/" for one in self.without)])

    def has(self, spec: Mapping[str, Any]) -> bool:
        """Tell whether a test of ginkgo's report is one of them."""
        labels = {one for each in spec["ContainerHierarchyLabels"] or () for one in each or ()}
        labels.update(spec["LeafNodeLabels"] or ())
        return labels.issuperset(self.labels) and labels.isdisjoint(self.without)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of the tests of a suite; `failed` has messages by test, `skipped` reasons."""

    suite: str
    minutes: float
    passed: int
    failed: Mapping[str, str]
    skipped: Mapping[str, str]


def read(path: Path, suite: Suite, focus: str, skips: Mapping[str, str]) -> Result:
    """Read the JSON report of ginkgo. `skips` are patterns of tests that were not run, with reasons."""
    passed, failed, skipped = 0, {}, {}
    (report,) = json.loads(path.read_text(encoding="utf-8"))
    for spec in report["SpecReports"]:
        name = " ".join([*(spec["ContainerHierarchyTexts"] or ()), spec["LeafNodeText"]]) or spec["LeafNodeType"]
        message = spec.get("Failure", {}).get("Message", "")
        if spec["State"] not in ("passed", "skipped", "pending"):
            failed[name] = message or spec["State"]
        elif spec["LeafNodeType"] != "It" or not suite.has(spec) or not re.search(focus, name):
            continue  # a part of the program that is no test, or a test that was not asked for
        elif spec["State"] == "passed":
            passed += 1
        else:
            reason = next((why for pattern, why in skips.items() if re.search(pattern, name)), "")
            skipped[name] = message or reason or spec["State"]
    minutes = round(report["RunTime"] / 60e9, 1)
    return Result(suite=suite.name, minutes=minutes, passed=passed, failed=failed, skipped=skipped)


def text(results: Iterable[Result]) -> str:
    """Return the failures and the skipped tests with reasons, and the counts at the end."""
    results = tuple(results)
    lines = [f"FAILED {name}\n    {brief(why)}" for one in results for name, why in one.failed.items()]
    lines += [f"skipped {name}\n    {brief(why)}" for one in results for name, why in one.skipped.items()]
    for one in results:
        counts = f"{one.passed} passed, {len(one.failed)} failed, {len(one.skipped)} skipped"
        lines.append(f"{one.suite}: {counts} in {one.minutes} min")
    return "\n".join(lines)


def markdown(cluster: Mapping[str, str], results: Iterable[Result]) -> str:
    """Return a table of the counts, then the failures and why tests were skipped."""
    results = tuple(results)
    lines = [", ".join(f"{key} {value}" for key, value in cluster.items()) + ".", ""]
    lines += ["| tests | passed | failed | skipped | minutes |", "|---|--:|--:|--:|--:|"]
    lines += [f"| {r.suite} | {r.passed} | {len(r.failed)} | {len(r.skipped)} | {r.minutes} |" for r in results]
    lines += ["", *(f"- failed: {name}: {brief(why)}" for one in results for name, why in one.failed.items())]
    reasons = Counter(brief(why) for one in results for why in one.skipped.values())
    lines += [f"- {count} skipped: {why}" for why, count in reasons.items()]
    return "\n".join(lines).rstrip() + "\n"


def as_json(cluster: Mapping[str, str], results: Iterable[Result]) -> str:
    """Return everything, for programs."""
    return json.dumps({"cluster": cluster, "suites": [dataclasses.asdict(one) for one in results]}, indent=1) + "\n"


def brief(message: str) -> str:
    """Return the beginning of a message on one line."""
    return textwrap.shorten(message, 200, placeholder=" …")
