"""The root inside a cluster: files and a unit on a node in memory, ConfigMaps in a small API server."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sandbox.bundle.own import UPSTREAM
from sandbox.certs.keystore import Keystore
from sandbox.certs.provided import Provided
from sandbox.cluster import trust
from sandbox.errors import SandboxError
from sandbox.host.engine import ContainerSpec
from sandbox.names import Names
from sandbox.providers import kind
from sandbox.steps.step import State
from sandbox.steps.trust import TrustStep
from tests.api_server import ApiServer
from tests.fakes import NETWORK, FakeContainer, FakeEngine, NoWork
from tests.unit.certs.tls import make_pki
from tests.unit.steps.nodes import Nodes

DOMAIN = "demo.localhost"
SHOP = "/api/v1/namespaces/shop"
SHOP_MAP = f"{SHOP}/configmaps/{trust.CONFIG_MAP}"


class Systemd:
    """The node's systemd, with the unit that copies the root into every namespace of the API server."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self.loaded = self.enabled = self.running = False
        self.broken = False

    def __call__(self, box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
        match argv[1:]:
            case ["daemon-reload"]:
                self.loaded = True
            case ["enable", trust.UNIT]:
                assert self.loaded
                self.enabled = True
            case ["restart", trust.UNIT] if self.broken:
                return 1, "Job failed"
            case ["restart", trust.UNIT]:
                self.running = True
                data = {trust.KEY: box.files[trust.ROOT].decode()}
                labelled = [path for path, one in self.server.objects.items() if one["kind"] == "Namespace"]
                for path in labelled:
                    self.server.objects[f"{path}/configmaps/{trust.CONFIG_MAP}"] = {"kind": "ConfigMap", "data": data}
            case ["is-active", trust.UNIT]:
                return (0, "active") if self.running else (3, "inactive")
        return 0, ""


@pytest.fixture
def systemd(server: ApiServer) -> Systemd:
    server.objects[SHOP] = {"kind": "Namespace", "metadata": {"name": "shop", "labels": {trust.LABEL: "true"}}}
    return Systemd(server)


@pytest.fixture
def step(engine: FakeEngine, names: Names, systemd: Systemd) -> TrustStep:
    node = ContainerSpec(name=names.node, image=UPSTREAM["node"], command=("init",), labels={}, network=NETWORK)
    engine.add(FakeContainer(node, engine.images[UPSTREAM["node"]], read_only=False))
    engine.programs["systemctl"] = systemd
    keystore = Keystore(names.keys)
    keystore.authority([DOMAIN], now=datetime.now(UTC))
    return TrustStep(kind.nodes(engine, names), names, keystore, None)


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
    step.apply(NoWork())
    assert step.check().state is State.READY
    assert set(second.files) == {trust.ROOT} and len(first.files) == 3
    del second.files[trust.ROOT]
    assert step.check().detail == f"{trust.ROOT} on {names.cluster}-worker"


def test_another_root_replaces_the_old_one(server: ApiServer, step: TrustStep) -> None:
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


def test_the_root_of_the_user_s_own_certificate_is_trusted_too(
    step: TrustStep, server: ApiServer, tmp_path: Path
) -> None:
    root = make_pki().root.cert_pem
    (tmp_path / "own.pem").write_bytes(root)
    own = TrustStep(step.nodes, step.names, step.keystore, Provided(tmp_path / "own.pem", tmp_path / "own.key"))
    own.apply(NoWork())
    assert own.check().state is State.READY
    text = step.names.root_certificate.read_text() + root.decode()
    assert server.objects[SHOP_MAP]["data"] == {"ca.crt": text}
    assert step.check().state is State.DRIFTED


def test_systemd_s_own_words_are_told(step: TrustStep, systemd: Systemd) -> None:
    systemd.broken = True
    with pytest.raises(SandboxError, match="restart") as caught:
        step.apply(NoWork())
    assert caught.value.details == "Job failed"
