"""A control plane that is used before kubeadm has finished, over an engine in memory and a real HTTP server."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
import yaml

from sandbox.components.cluster.kind import early_start
from sandbox.components.cluster.kind.early_start import STARTERS, EarlyStart
from sandbox.engine import Bind
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster
from sandbox.names import Names
from sandbox.system.wait import wait_until
from tests.support import api_server
from tests.support.api_server import ApiServer
from tests.support.fakes import FakeContainer, FakeEngine
from tests.support.memory_nodes import Nodes

BINDING = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/kubeadm:cluster-admins"


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with api_server.serving() as server:
        yield server


class Init:
    """What a control plane at kubeadm's work does: it serves after some questions; `told` are our words on it."""

    def __init__(
        self, engine: FakeEngine, names: Names, server: ApiServer, *, serves_after: int = 0, restarts: bool = False
    ) -> None:
        self.names, self.server, self.left = names, server, serves_after
        self.told, self.asked = threading.Event(), threading.Event()
        self.times, self.keyless = 0, 0
        Nodes(engine).add(names, names.node, "control-plane")
        engine.programs["bash"] = self.node
        names.folder.mkdir(parents=True)
        self.early = EarlyStart(engine, names, restarts=restarts, write_kubeconfig=self.write, usable=self.usable)
        self.asking = ""

    def node(self, box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
        self.asking = argv[-1]
        self.asked.set()
        if self.left:
            self.left -= 1
            return 1, ""
        return 0, yaml.safe_dump({"users": [{"name": "kubernetes-super-admin", "user": {"token": "almighty"}}]})

    def write(self) -> None:
        if self.keyless:
            self.keyless -= 1
            raise SandboxError("there is no admin.conf")
        api_server.kubeconfig(self.names.kubeconfig, self.server.server_address[1])

    def usable(self) -> None:
        self.times += 1
        self.told.set()


def test_cluster_is_usable_once_its_api_server_is_ready(engine: FakeEngine, names: Names, server: ApiServer) -> None:
    init = Init(engine, names, server, serves_after=2)
    with init.early:
        init.early.begin()
        assert init.told.wait(10)
        assert server.objects[BINDING]["roleRef"]["name"] == "cluster-admin"
        init.early._thread.join(10)
        assert server.objects.keys() == {BINDING}  # what let the scheduler start is gone
        init.early.finish()
    assert init.times == 1
    assert [path.name for path in names.folder.iterdir()] == [names.kubeconfig.name]  # no key of a super-admin


@pytest.mark.parametrize("restarts", [True, False])
def test_kubelet_is_restarted_where_it_would_wait(
    engine: FakeEngine, names: Names, server: ApiServer, restarts: bool
) -> None:
    init = Init(engine, names, server, restarts=restarts)
    with init.early:
        init.early.begin()
        assert init.told.wait(10)
    assert ("try-restart kubelet" in init.asking) is restarts


def test_kubeconfig_that_is_not_there_yet_is_asked_for_again(
    engine: FakeEngine, names: Names, server: ApiServer
) -> None:
    """On a busy machine kubeadm still makes its keys when the API server is asked the first time."""
    init = Init(engine, names, server, serves_after=2)
    init.keyless = 2
    with init.early:
        init.early.begin()
        assert init.told.wait(10)
    assert init.times == 1 and BINDING in server.objects


def test_cluster_that_never_serves_is_usable_at_the_end(engine: FakeEngine, names: Names, server: ApiServer) -> None:
    init = Init(engine, names, server, serves_after=10**9)
    with init.early:
        init.early.begin()
        assert init.asked.wait(10)
        assert not init.told.is_set()
        init.early.finish()
    assert init.times == 1 and names.kubeconfig.exists() and BINDING not in server.objects


def test_scheduler_rights_go_though_the_cluster_is_not_ready(
    engine: FakeEngine, names: Names, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cluster, "trouble", lambda _: "not ready")
    init = Init(engine, names, server)
    with init.early:
        init.early.begin()
        wait_until(lambda: None if len(server.objects) == len(STARTERS) else "not yet", what="its rights", timeout=10)
        init.early.finish()
    assert init.times == 1 and not server.objects and not early_start.key_file(names).exists()


def test_nothing_is_told_of_a_failed_init(engine: FakeEngine, names: Names, server: ApiServer) -> None:
    init = Init(engine, names, server, serves_after=10**9)
    with pytest.raises(ZeroDivisionError), init.early:
        init.early.begin()
        raise ZeroDivisionError
    assert init.times == 0


def test_cluster_whose_port_does_not_arrive_is_an_error(engine: FakeEngine, names: Names, server: ApiServer) -> None:
    init = Init(engine, names, server)
    engine.shares, engine.deaf = False, True
    node = engine.boxes[names.node]
    node.spec = replace(node.spec, publish={6443: (Bind("127.0.0.1", 40001),)})
    with pytest.raises(SandboxError, match=r"no port .* answers at 127\.0\.0\.1:40001") as caught, init.early:
        init.early.finish()
    assert caught.value.id == "engine-ports" and init.times == 0


@pytest.mark.parametrize("said", ["", "{}", "{users: []}", "\t{", "no kubeconfig"])
def test_unknown_kubeconfig_of_the_node_is_no_error(
    engine: FakeEngine, names: Names, server: ApiServer, said: str
) -> None:
    init = Init(engine, names, server)
    engine.programs["bash"] = lambda box, argv: (0, said)
    with init.early:
        init.early.begin()
        init.early._thread.join(10)
        assert init.times == 0
        init.early.finish()
    assert init.times == 1
