"""The root on nodes and in the ConfigMap of labelled namespaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sandbox.components.certificates import steps
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.certificates.steps import TrustStep
from sandbox.components.certificates.user_certificate import Provided
from sandbox.components.cluster import company_ca
from sandbox.components.cluster.company_ca import CompanyCa
from sandbox.components.cluster.kind import provider as kind_provider
from sandbox.kube.api import Cluster
from sandbox.names import Names
from sandbox.step import State
from tests.support.api_server import ApiServer
from tests.support.fakes import FakeContainer, FakeEngine, NoWork, applied
from tests.support.memory_nodes import Nodes
from tests.support.tls import make_pki
from tests.support.trust_roots import stranger

DOMAIN = "demo.localhost"
SHOP = "/api/v1/namespaces/shop"
SHOP_MAP = f"{SHOP}/configmaps/{steps.CONFIG_MAP}"


@pytest.fixture
def step(server: ApiServer, engine: FakeEngine, names: Names) -> TrustStep:
    server.objects[SHOP] = {"metadata": {"name": "shop", "labels": {steps.TRUST_LABEL: "true"}}}
    Nodes(engine).add(names, names.node, role="control-plane")
    keystore = Keystore(names.keys)
    keystore.authority([DOMAIN], now=datetime.now(UTC))
    nodes = kind_provider.nodes(engine, names)
    return TrustStep(nodes=nodes, names=names, keystore=keystore, provided=None, company=CompanyCa("none"))


def test_every_node_and_labelled_namespace_gets_the_root(
    server: ApiServer, step: TrustStep, engine: FakeEngine, names: Names
) -> None:
    worker = Nodes(engine).add(names, f"{names.cluster}-worker")
    assert step.check().state is State.ABSENT
    assert applied(step).state is State.READY
    assert server.objects[SHOP_MAP]["data"] == {"ca.crt": step.names.root_certificate.read_text()}
    assert not step.undo()
    server.objects.pop(SHOP_MAP)
    server.objects[SHOP]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert step.check().state is State.READY
    del worker.files[steps.ROOT]
    assert step.check().detail == f"{steps.ROOT} on {names.cluster}-worker"


def test_namespace_gets_the_root_when_its_manifest_is_applied(server: ApiServer, step: TrustStep) -> None:
    cluster = Cluster(step.names.kubeconfig)
    for name, labels in (("blog", {steps.TRUST_LABEL: "true"}), ("plain", {})):
        step.complete(cluster, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    maps = [path.split("/")[4] for path in server.objects if path.endswith(f"/configmaps/{steps.CONFIG_MAP}")]
    assert maps == ["blog"]


def test_root_of_the_users_certificate_is_trusted_too(step: TrustStep, server: ApiServer, tmp_path: Path) -> None:
    root = make_pki().root.cert_pem
    (tmp_path / "own.pem").write_bytes(root)
    own = replace(step, provided=Provided(tmp_path / "own.pem", tmp_path / "own.key"))
    assert applied(own).state is State.READY
    text = step.names.root_certificate.read_text() + root.decode()
    assert server.objects[SHOP_MAP]["data"] == {"ca.crt": text}
    assert step.check().state is State.DRIFTED


def test_company_is_trusted_by_nodes_and_pods(
    step: TrustStep, server: ApiServer, engine: FakeEngine, tmp_path: Path
) -> None:
    commands: list[Sequence[str]] = []

    def systemctl(box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
        commands.append(argv)
        return 0, ""

    engine.programs["systemctl"] = systemctl
    step.apply(NoWork())
    company = stranger("Acme")
    (tmp_path / "company.pem").write_bytes(company)
    trusting = replace(step, company=CompanyCa(tmp_path / "company.pem"))
    assert trusting.check().state is State.DRIFTED
    assert applied(trusting).state is State.READY
    assert engine.boxes[step.names.node].files[company_ca.PLACE] == company
    assert ("systemctl", "restart", "containerd") in commands
    assert server.objects[SHOP_MAP]["data"]["ca.crt"].endswith(company.decode())
    step.apply(NoWork())
    assert engine.boxes[step.names.node].files[company_ca.PLACE] == b""
