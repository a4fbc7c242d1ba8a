"""Some of Kubernetes' own end-to-end tests on a sandbox of the script that runs all of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.app import context
from tests.real import machine

pytestmark = [pytest.mark.real, pytest.mark.nightly]

SCRIPT = Path(__file__).parents[2] / "scripts" / "conformance" / "run"
# A few tests, of Secrets in pods, DNS and Services, show that the script works.
FOCUS = (
    "Secrets should be consumable from pods in (volume as|env)|DNS should provide DNS for|should serve a basic endpoint"
)


@pytest.mark.timeout(2400)
def test_upstreams_conformance_tests_pass_on_a_sandbox() -> None:
    machine.engine()
    machine.need("debootstrap")
    words = [sys.executable, str(SCRIPT), "--only", "conformance", "--focus", FOCUS]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout[-20000:]
    (suite,) = json.loads((context.home().cache / "conformance/results/result.json").read_text())["suites"]
    assert suite["passed"] >= 5
    assert not suite["failed"]
