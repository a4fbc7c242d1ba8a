"""cert-manager's release put into a cluster, from a file with the digest that is expected of it."""

from __future__ import annotations

import hashlib

import pytest
import yaml

from sandbox.components.certificates import cert_manager_release
from sandbox.components.certificates.cert_manager_step import CertManagerStep
from sandbox.errors import SandboxError
from sandbox.names import Names
from sandbox.step import State
from tests.support.api_server import ApiServer
from tests.support.controllers import Controllers
from tests.support.fakes import NoWork

DEPLOYMENT = "/apis/apps/v1/namespaces/cert-manager/deployments/cert-manager-webhook"


def manifest(name: str) -> dict[str, object]:
    metadata = {
        "name": name,
        "namespace": cert_manager_release.NAMESPACE,
        "labels": {"app.kubernetes.io/version": cert_manager_release.VERSION},
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"replicas": 1}}


@pytest.fixture
def step(names: Names, server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> CertManagerStep:
    server.objects = Controllers()
    file = names.home.manifests / f"cert-manager-{cert_manager_release.VERSION}.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(yaml.safe_dump_all([manifest(name) for name in cert_manager_release.DEPLOYMENTS]))
    monkeypatch.setattr(cert_manager_release, "SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
    return CertManagerStep(names, names.home.manifests)


def test_it_is_there_once_all_its_pods_are_ready(server: ApiServer, step: CertManagerStep) -> None:
    assert step.check().state is State.ABSENT
    step.apply(NoWork())
    assert step.check().state is State.READY
    del server.objects[DEPLOYMENT]["status"]
    assert step.check().state is State.DRIFTED
    assert not step.undo()


def test_another_version_is_replaced(server: ApiServer, step: CertManagerStep) -> None:
    step.apply(NoWork())
    server.objects[DEPLOYMENT]["metadata"]["labels"]["app.kubernetes.io/version"] = "v1.0.0"
    assert (step.check().state, step.check().detail) == (State.DRIFTED, "cert-manager-webhook is v1.0.0")
    step.apply(NoWork())
    assert step.check().state is State.READY


def test_only_the_pinned_release_is_applied(server: ApiServer, step: CertManagerStep) -> None:
    (step.manifests / f"cert-manager-{cert_manager_release.VERSION}.yaml").write_text("kind: Other\n")
    with pytest.raises(SandboxError, match="is not the file"):
        step.apply(NoWork())
    assert server.objects == {}
