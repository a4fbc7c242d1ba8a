"""Programs on a PATH of the test's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.bundle.system_images import IN_ENGINE, UPSTREAM
from sandbox.config.schema import Cluster
from sandbox.config.schema.cluster_schema import Images
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
    assert found["tools.docker"].status is found["tools.kind"].status is Status.ERROR
    assert found["tools.kubectl"].status is found["tools.minikube"].status is Status.SKIPPED


def test_present_tools_are_reported(context: DoctorContext, programs: Path) -> None:
    install(programs, "docker", "echo Docker version 28.2.2, build e6534b4")
    install(programs, "kind", "echo kind v0.33.0 go1.26.1 linux/amd64")
    install(programs, "kubectl", "echo Client Version: v1.36.2; echo Kustomize Version: v5.6.0")
    install(programs, "minikube", "echo v1.37.0")
    found = rows(context)
    assert {found[f"tools.{name}"].status for name in ("docker", "kind", "kubectl", "minikube")} == {Status.OK}
    assert found["tools.docker"].evidence == "Docker version 28.2.2, build e6534b4"


@pytest.mark.fault(62)
@pytest.mark.parametrize("said", ["Client Version: v1.32.4", "something else"])
def test_a_kubectl_that_does_not_fit(context: DoctorContext, programs: Path, said: str) -> None:
    """A kubectl of far another version → a row of the doctor."""
    install(programs, "kubectl", f"echo {said}")
    assert rows(context)["tools.kubectl"].status is Status.WARN


def test_kubectl_is_compared_with_the_chosen_kubernetes(context: DoctorContext, programs: Path) -> None:
    install(programs, "kubectl", "echo Client Version: v1.36.2")
    older = context.spec.cluster.model_copy(update={"kubernetes": "v1.34.4"})
    found = rows(replace(context, spec=context.spec.model_copy(update={"cluster": older})))["tools.kubectl"]
    assert (found.status, found.evidence) == (Status.WARN, "Client Version: v1.36.2, the cluster is 1.34")


@pytest.mark.parametrize("provider", ["minikube", "existing"])
def test_kubectl_is_compared_with_no_version_that_is_not_known(
    context: DoctorContext, programs: Path, provider: str
) -> None:
    install(programs, "kubectl", "echo Client Version: v1.32.4")
    known = {"provider": provider, **({"context": "a", "namespace": "b"} if provider == "existing" else {})}
    spec = context.spec.model_copy(update={"cluster": Cluster.model_validate(known)})
    found = tools_checks.kubectl(replace(context, spec=spec))
    assert (found.status, "the cluster is" in found.evidence) == (Status.OK, False)


def test_a_kind_that_is_too_old_or_broken(context: DoctorContext, programs: Path) -> None:
    install(programs, "kind", "echo kind v0.20.0 go1.20 linux/amd64")
    assert rows(context)["tools.kind"].status is Status.ERROR
    install(programs, "minikube", "echo it is broken; exit 3")
    found = rows(context)["tools.minikube"]
    assert found.status is Status.ERROR and "it is broken" in found.evidence


def test_source_of_missing_images_is_told(context: DoctorContext, engine: FakeEngine) -> None:
    found = tools_checks.images(context)
    assert (found.status, found.evidence.endswith("from docker.io by the first `up`")) == (Status.OK, True)
    mirrored = context.spec.model_copy(update={"images": Images(mirror="mirror.example/hub")})
    assert "mirror.example/hub" in tools_checks.images(replace(context, spec=mirrored)).evidence
    engine.images |= {UPSTREAM[name]: "sha256:1" for name in IN_ENGINE}
    assert tools_checks.images(context).status is Status.OK
