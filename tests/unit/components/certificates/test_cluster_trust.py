"""The node's script that keeps the ConfigMap, run with a kubectl that tells what it was asked."""

from __future__ import annotations

import configparser
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import pytest

from sandbox.bundle.system_images import UPSTREAM
from sandbox.components.certificates import cluster_trust
from sandbox.components.certificates.cluster_trust import TrustStep
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.certificates.user_certificate import Provided
from sandbox.components.cluster import company_ca
from sandbox.components.cluster.company_ca import CompanyCa
from sandbox.components.cluster.kind import provider as kind_provider
from sandbox.components.node_unit import ADMIN, WATCHER
from sandbox.engine import ContainerSpec
from sandbox.errors import SandboxError
from sandbox.names import SYSTEM_NAMESPACE, Names
from sandbox.step import State
from tests.support.api_server import ApiServer
from tests.support.fakes import NETWORK, FakeContainer, FakeEngine, NoWork
from tests.support.memory_nodes import Nodes
from tests.support.programs import make_program
from tests.support.tls import make_pki
from tests.support.trust_roots import stranger

KUBECTL = """#!/bin/sh
case "$1 $2" in
  "get --raw")
    printf '{"type":"ADDED","object":{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"%s"}}}\\n' one gone two
    echo '{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{}}}' ;;
  "create configmap") printf '%s\\n' "$*" >> "$ASKED"; echo "of $4" ;;
  apply*) read -r made; [ "$made" != "of --namespace=gone" ] || exit 1; printf 'applied %s\\n' "$made" >> "$ASKED" ;;
esac
"""
DOMAIN = "demo.localhost"
ADMIN_FILE = {ADMIN: b"clusters: [{name: demo, cluster: {server: 'https://demo:6443'}}]\n"}
SHOP = "/api/v1/namespaces/shop"
SHOP_MAP = f"{SHOP}/configmaps/{cluster_trust.CONFIG_MAP}"


def script(tmp_path: Path) -> list[str]:
    """What the node's script asks kubectl for."""
    asked = tmp_path / "asked"
    make_program(tmp_path / "kubectl", KUBECTL)
    (tmp_path / "watch.sh").write_bytes(cluster_trust.UNIT.files()[WATCHER])
    (tmp_path / "kubeconfig").write_text("")
    text = cluster_trust.UNIT.script.replace(str(WATCHER), f"{tmp_path}/watch.sh")
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "KUBECONFIG": f"{tmp_path}/kubeconfig", "ASKED": str(asked)}
    subprocess.run(["sh"], input=text, text=True, check=False, env=environment)
    return asked.read_text().splitlines()


def test_watched_namespaces_get_root_and_a_lost_one_is_ignored(tmp_path: Path) -> None:
    said = script(tmp_path)
    assert [line for line in said if line.startswith("applied")] == [
        "applied of --namespace=one",
        "applied of --namespace=two",
    ]
    assert f"--from-file=ca.crt={cluster_trust.ROOT}" in said[0]


def test_script_has_the_names_of_the_code() -> None:
    words = (
        f"{cluster_trust.LABEL}=true",
        f"configmap {cluster_trust.CONFIG_MAP} ",
        f"{cluster_trust.KEY}={cluster_trust.ROOT}",
    )
    assert all(word in cluster_trust.UNIT.script for word in words)


def test_the_unit_starts_with_the_node_and_comes_back_for_ever() -> None:
    files = cluster_trust.UNIT.files()
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(files[PurePosixPath("/etc/systemd/system/sandbox-trust.service")].decode())
    assert unit["Service"]["Restart"] == "always"
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert unit["Install"]["WantedBy"] == "multi-user.target"
    assert PurePosixPath(unit["Service"]["ExecStart"].split()[-1]) in files
    assert "admin.conf" not in unit["Service"]["Environment"]
    assert unit["Service"]["CapabilityBoundingSet"] == ""
    assert unit["Service"]["NoNewPrivileges"] == "yes"


class Systemd:
    """The node's systemd, with the unit that copies the root into every namespace of the API server."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self.enabled = self.running = False
        self.broken = False
        self.asked: list[list[str]] = []

    def __call__(self, box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
        self.asked.append(list(argv[1:]))
        match argv[1:]:
            case ["enable", cluster_trust.UNIT.service]:
                self.enabled = True
            case ["restart", cluster_trust.UNIT.service] if self.broken:
                return 1, "Job failed"
            case ["restart", cluster_trust.UNIT.service]:
                self.running = True
                data = {cluster_trust.KEY: box.files[cluster_trust.ROOT].decode()}
                marked = {path: one.get("metadata", {}) for path, one in self.server.objects.items()}
                labelled = [path for path, one in marked.items() if one.get("labels", {}).get(cluster_trust.LABEL)]
                for path in labelled:
                    self.server.objects[f"{path}/configmaps/{cluster_trust.CONFIG_MAP}"] = {
                        "kind": "ConfigMap",
                        "data": data,
                    }
            case ["is-active", *_]:
                return 0 if self.running else 3, ""
        return 0, ""


@pytest.fixture
def systemd(server: ApiServer) -> Systemd:
    server.objects[SHOP] = {"kind": "Namespace", "metadata": {"name": "shop", "labels": {cluster_trust.LABEL: "true"}}}
    return Systemd(server)


@pytest.fixture
def step(engine: FakeEngine, names: Names, systemd: Systemd) -> TrustStep:
    node = ContainerSpec(name=names.node, image=UPSTREAM["node"], command=("init",), labels={}, network=NETWORK)
    engine.add(FakeContainer(node, engine.images[UPSTREAM["node"]], read_only=False, files=dict(ADMIN_FILE)))
    engine.programs["systemctl"] = systemd
    keystore = Keystore(names.keys)
    keystore.authority([DOMAIN], now=datetime.now(UTC))
    return TrustStep(
        nodes=kind_provider.nodes(engine, names),
        names=names,
        keystore=keystore,
        provided=None,
        company=CompanyCa("none"),
    )


def test_namespaces_that_ask_have_the_root(server: ApiServer, step: TrustStep, systemd: Systemd) -> None:
    assert step.check().state is State.ABSENT
    step.apply(NoWork())
    assert step.check().state is State.READY
    assert server.objects[SHOP_MAP]["data"] == {"ca.crt": step.names.root_certificate.read_text()}
    assert systemd.enabled
    assert not step.undo()


def test_every_node_has_the_root_and_one_watches(engine: FakeEngine, names: Names, step: TrustStep) -> None:
    del engine.boxes[names.node]
    nodes = Nodes(engine)
    first, second = nodes.add(names, names.node, "control-plane"), nodes.add(names, f"{names.cluster}-worker")
    first.files.update(ADMIN_FILE)
    step.apply(NoWork())
    assert step.check().state is State.READY
    assert set(second.files) == {cluster_trust.ROOT}
    assert set(first.files) == {cluster_trust.ROOT, *cluster_trust.UNIT.files(), cluster_trust.UNIT.kubeconfig, ADMIN}
    del second.files[cluster_trust.ROOT]
    assert step.check().detail == f"{cluster_trust.ROOT} on {names.cluster}-worker"


def test_changed_root_replaces_the_old_one(server: ApiServer, step: TrustStep) -> None:
    step.apply(NoWork())
    step.keystore.renew([DOMAIN], {}, now=datetime.now(UTC), authority=True, root=True)
    assert step.check().state is State.DRIFTED
    step.apply(NoWork())
    assert server.objects[SHOP_MAP]["data"]["ca.crt"] == step.names.root_certificate.read_text()


def test_a_unit_that_stopped_is_started(step: TrustStep, systemd: Systemd) -> None:
    step.apply(NoWork())
    systemd.running = False
    assert (step.check().state, "does not run" in step.check().detail) == (State.DRIFTED, True)
    step.apply(NoWork())
    assert step.check().state is State.READY


def test_a_config_map_that_is_gone_is_put_back(server: ApiServer, step: TrustStep) -> None:
    step.apply(NoWork())
    server.objects.pop(SHOP_MAP)
    assert (step.check().state, step.check().detail[:4]) == (State.DRIFTED, "shop")
    step.apply(NoWork())
    assert step.check().state is State.READY


def test_a_namespace_on_its_way_out_is_not_waited_for(server: ApiServer, step: TrustStep) -> None:
    step.apply(NoWork())
    server.objects.pop(SHOP_MAP)
    server.objects[SHOP]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert step.check().state is State.READY


def test_root_of_the_users_certificate_is_trusted_too(step: TrustStep, server: ApiServer, tmp_path: Path) -> None:
    root = make_pki().root.cert_pem
    (tmp_path / "own.pem").write_bytes(root)
    own = replace(step, provided=Provided(tmp_path / "own.pem", tmp_path / "own.key"))
    own.apply(NoWork())
    assert own.check().state is State.READY
    text = step.names.root_certificate.read_text() + root.decode()
    assert server.objects[SHOP_MAP]["data"] == {"ca.crt": text}
    assert step.check().state is State.DRIFTED


def test_company_is_trusted_by_nodes_and_pods(
    step: TrustStep, server: ApiServer, engine: FakeEngine, systemd: Systemd, tmp_path: Path
) -> None:
    step.apply(NoWork())
    company = stranger("Acme")
    (tmp_path / "company.pem").write_bytes(company)
    trusting = replace(step, company=CompanyCa(tmp_path / "company.pem"))
    assert trusting.check().state is State.DRIFTED
    trusting.apply(NoWork())
    assert trusting.check().state is State.READY
    assert engine.boxes[step.names.node].files[company_ca.PLACE] == company
    assert ["restart", "containerd"] in systemd.asked
    assert server.objects[SHOP_MAP]["data"]["ca.crt"].endswith(company.decode())
    step.apply(NoWork())
    assert engine.boxes[step.names.node].files[company_ca.PLACE] == b""


def test_systemd_message_is_shown(step: TrustStep, systemd: Systemd) -> None:
    systemd.broken = True
    with pytest.raises(SandboxError, match="cannot be started") as caught:
        step.apply(NoWork())
    assert caught.value.details == "Job failed"


@pytest.mark.security(15)
def test_the_unit_has_an_account_of_its_own(step: TrustStep, server: ApiServer, engine: FakeEngine) -> None:
    """The node's unit is placed → it runs as a service account that may write one ConfigMap, not as an admin."""
    step.apply(NoWork())
    node = engine.boxes[step.names.node]
    text = node.files[cluster_trust.UNIT.kubeconfig].decode()
    assert "token: e30." in text and "https://demo:6443" in text
    assert node.modes[cluster_trust.UNIT.kubeconfig] == 0o600
    role = server.objects["/apis/rbac.authorization.k8s.io/v1/clusterroles/sandbox-trust"]
    assert [(one["resources"], one["verbs"]) for one in role["rules"]] == [
        (["namespaces"], ["list", "watch"]),
        (["configmaps"], ["create", "patch"]),
    ]
    role["rules"], role["metadata"]["annotations"] = [], {}
    assert step.check().detail == "ClusterRole sandbox-trust differs"
    step.apply(NoWork())
    assert step.check().state is State.READY


def test_a_unit_s_token_of_another_account_is_replaced(step: TrustStep, server: ApiServer, engine: FakeEngine) -> None:
    step.apply(NoWork())
    account = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/serviceaccounts/sandbox-trust"
    server.admit = lambda one: {**one, "metadata": {**one["metadata"], "uid": "second"}}
    del server.objects[account]
    assert step.check().state is State.DRIFTED
    step.apply(NoWork())
    assert step.check().state is State.READY
    files = engine.boxes[step.names.node].files
    files[cluster_trust.UNIT.kubeconfig] = b"users: [{user: {token: a.b.c}}]"
    assert "has no valid token" in step.check().detail
