"""A bundle file is all that `up` needs: proved where there is no network, by a card that counts what tries to leave."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from sandbox.bundle.contents import SBOM
from tests.real import machine
from tests.real.machine import CommandLine, tool

pytestmark = [pytest.mark.real, pytest.mark.nightly]

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "fixtures" / "demos" / "web"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of this machine as a file."""
    machine.engine()
    if os.geteuid() != 0:
        machine.leave_out("needs root, for namespaces of its own")
    file = tmp_path_factory.mktemp("bundle") / "sandbox.bundle"
    CommandLine()("bundle", "save", "--raw", file)
    return file


def test_bill_of_materials_names_modules_and_packages(bundle: Path) -> None:
    bill = json.loads(tool("tar", "-xOf", bundle, SBOM))
    libraries = [one for one in bill["components"] if one["type"] == "library"]
    kinds = {kind: [one for one in libraries if one["purl"].startswith(f"pkg:{kind}/")] for kind in ("golang", "deb")}
    assert len(kinds["golang"]) > 300 and len(kinds["deb"]) > 50


def test_a_machine_without_network_comes_up_from_the_file_alone(bundle: Path) -> None:
    words = [ROOT / "scripts" / "offline", bundle, DEMO / "sandbox.yaml"]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
    assert done.returncode == 0, done.stdout
    report = json.loads(done.stdout.splitlines()[-1])
    assert set(report["hosts"].values()) == {200} and len(report["hosts"]) == 3
    assert report["packets_that_tried_to_leave"] == [] and report["watched"]
