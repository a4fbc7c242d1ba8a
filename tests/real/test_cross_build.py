"""Components of the bundle for the other architecture, and programs for macOS, built here as far as Go goes."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from sandbox.bundle import architecture
from sandbox.bundle.builder import component_build
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from tests.real import machine
from tests.support.fakes import RecordingReporter

pytestmark = [pytest.mark.real, pytest.mark.nightly]


def test_programs_for_the_other_machine_are_built_here(tmp_path: Path) -> None:
    """Two of the smallest: one with programs only, one with an image, whose platform is that machine's."""
    machine.need("go", "file")
    other = next(one for one in architecture.KNOWN.values() if one != architecture.native())
    store = Store(tmp_path).across(other)
    component_build.build(store, RecordingReporter(), only=["cni-plugins", "local-path-provisioner"])
    for name in ("cni-plugins", "local-path-provisioner"):
        programs = list((store.folder(recipes()[name]) / "bin").iterdir())
        assert programs
        architecture.require(programs, other)
        said = machine.tool("file", "--brief", programs[0])
        assert {"arm64": "ARM aarch64", "amd64": "x86-64"}[other.name] in said and "statically linked" in said
    with tarfile.open(store.image(recipes()["local-path-provisioner"])) as tar:
        small = [tar.extractfile(one) for one in tar if one.isfile() and one.size < 4096]
        assert any(f'"architecture":"{other.name}"'.encode() in file.read() for file in small if file)
