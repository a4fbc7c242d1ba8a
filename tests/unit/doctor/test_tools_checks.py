"""Programs on a PATH of the test's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.bundle.system_images import IN_ENGINE, UPSTREAM
from sandbox.config.schema.cluster_schema import Cluster, Images
from sandbox.doctor import tools_checks
from sandbox.doctor.check import Row, Status, run
from sandbox.doctor.doctor_context import DoctorContext
from tests.support.fakes import FakeEngine
from tests.support.programs import make_program

pytestmark = pytest.mark.usefixtures("programs")


def install(programs: Path, name: str, script: str) -> None:
    make_program(programs / name, script)


def rows(context: DoctorContext) -> dict[str, Row]:
    return {one.id: one for one in run(tools_checks.CHECKS, context, seconds=30)}


def test_missing_tools_are_reported(context: DoctorContext) -> None:
    found = rows(context)
    assert found["tools.docker"].status is found["tools.cluster"].status is Status.ERROR


def test_present_tools_are_reported(context: DoctorContext, programs: Path) -> None:
    install(programs, "docker", "echo Docker version 28.2.2, build e6534b4")
    install(programs, "kind", "echo kind v0.33.0 go1.26.1 linux/amd64")
    found = rows(context)
    assert found["tools.docker"].evidence == "Docker version 28.2.2, build e6534b4"
    assert found["tools.cluster"].evidence.startswith("kind v0.33.0")


def test_kind_that_is_too_old_is_an_error(context: DoctorContext, programs: Path) -> None:
    install(programs, "kind", "echo kind v0.20.0 go1.20 linux/amd64")
    assert rows(context)["tools.cluster"].status is Status.ERROR


def test_minikube_is_checked_for_a_sandbox_that_needs_it(context: DoctorContext, programs: Path) -> None:
    spec = context.spec.model_copy(update={"cluster": Cluster(provider="minikube")})
    install(programs, "minikube", "echo it is broken; exit 3")
    found = rows(replace(context, spec=spec))["tools.cluster"]
    assert found.status is Status.ERROR and "it is broken" in found.evidence


def test_source_of_missing_images_is_told(context: DoctorContext, engine: FakeEngine) -> None:
    found = tools_checks.images(context)
    assert (found.status, found.evidence.endswith("from docker.io by the first `up`")) == (Status.OK, True)
    mirrored = context.spec.model_copy(update={"images": Images(mirror="mirror.example/hub")})
    assert "mirror.example/hub" in tools_checks.images(replace(context, spec=mirrored)).evidence
    engine.images |= {UPSTREAM[name]: "sha256:1" for name in IN_ENGINE}
    assert tools_checks.images(context).status is Status.OK
