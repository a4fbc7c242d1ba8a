"""A whole machine in memory for sandboxes to come and go on: engine, kind, node, API server, registry, kubeconfig.

Everything is the product's own but what is played: only the proof by HTTPS is left out, for there is no one to answer.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import yaml

from sandbox.bundle.system_images import UPSTREAM, OwnImages
from sandbox.components.cluster import kubeconfig as kubeconfigs
from sandbox.components.cluster.kind.command import Kind
from sandbox.components.edge import routes
from sandbox.components.ingress import traefik
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.engine import ContainerSpec, EngineError
from sandbox.errors import SandboxError
from sandbox.names import EDGE, Home, Names
from sandbox.plan import build as plan
from sandbox.plan import lifecycle
from sandbox.report import Reporter
from sandbox.step import Step
from sandbox.system import interruption
from tests.support import failpoint, memory_nodes
from tests.support.api_server import POLICIES, ApiServer, kubeconfig, serving
from tests.support.controllers import Controllers
from tests.support.failpoint import DOORS, Failpoint
from tests.support.fakes import NETWORK, FakeContainer, FakeEngine
from tests.support.memory_nodes import Nodes
from tests.support.registry_simulator import Simulator

NAME = "demo"
OWN = OwnImages("upstream", UPSTREAM)
FOREIGN = {
    "apiVersion": "v1",
    "kind": "Config",
    "preferences": {},
    "clusters": [{"name": "work", "cluster": {"server": "https://work.example:6443"}}],
    "users": [],
    "contexts": [{"name": "work", "context": {"cluster": "work", "user": "me"}}],
    "current-context": "work",
}
KINDS: Mapping[str, Mapping[str, tuple[str, bool]]] = {
    f"/apis/{traefik.TRAEFIK_GROUP}/v1alpha1": {kind: (f"{kind.lower()}s", True) for kind in traefik.TRAEFIK_KINDS},
    "/apis/admissionregistration.k8s.io/v1": POLICIES,
}

EDITS: dict[str, dict[str, object]] = {
    "ports": {"edge": {"ports": (9443,)}},
    "domain": {"domain": "other.sandbox.localhost"},
    "nameservers": {"network": {"nameservers": ("1.1.1.1",)}},
    "no ingress": {"ingress": {"controller": "none"}},
    "mirrors": {"registry": {"mirrors": ("quay.io",)}},
    "nothing": {},
}


@dataclass
class SmallWorld:
    """One machine with another user's container, network, volume and context on it, and at most one sandbox."""

    folder: Path
    registry: Simulator
    server: ApiServer
    stack: ExitStack
    engine: FakeEngine = field(default_factory=lambda: FakeEngine(*UPSTREAM.values(), "busybox"))
    _changes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.server.kinds = {
            base: {**self.server.kinds.get(base, {}), **KINDS.get(base, {})} for base in {*self.server.kinds, *KINDS}
        }
        self._running: set[str] = set()
        nodes = Nodes(self.engine)
        self.engine.programs |= {"sh": memory_nodes.shell, "systemctl": self._systemctl}
        self.kind = _playing(self.engine, nodes, self.names, self._new_cluster, self.server.server_address[1])
        self.engine.create_network("theirs", {})
        self.engine.create_volume("theirs", {})
        self.engine.boxes["theirs"] = FakeContainer(_foreign(), self.engine.images["busybox"])
        self.home.kubeconfig.write_text(yaml.safe_dump(FOREIGN))

    @property
    def home(self) -> Home:
        return Home(self.folder / "state", self.folder / "cache", self.folder / "config")

    @property
    def names(self) -> Names:
        return self.home.sandbox(NAME)

    def plan(self, *, purge: bool = False) -> tuple[Step, ...]:
        port = urlsplit(self.registry.url).port
        data = {"name": NAME, "network": {"nameservers": ("9.9.9.9",)}, **self._changes}
        data["registry"] = {"port": port, **self._changes.get("registry", {})}
        spec = Spec.model_validate(data)
        https = tuple(int(port) for port in spec.edge.ports)
        resolved = ResolvedSpec.of(spec, registry=port or 0, https=https)
        steps = plan.build(resolved, self.home, self.engine, OWN, environ=os.environ, purge=purge)
        return tuple(step for step in steps if step.name != "https")

    def bring_up(self, point: Failpoint | None = None, *, keep: bool = False, report: Reporter | None = None) -> bool:
        """Whether `up` changed anything; with `keep` what it leaves when it breaks is what a kill would."""
        return self.walk(self.plan(), point, keep=keep, report=report)

    def walk(
        self, plan: Sequence[Step], point: Failpoint | None, *, keep: bool = False, report: Reporter | None = None
    ) -> bool:
        with self._armed(point):
            return lifecycle.up(plan, report or Reporter(), keep=keep)

    def take_down(self, point: Failpoint | None = None, *, purge: bool = False) -> None:
        with self._armed(point):
            lifecycle.down(self.plan(purge=purge), Reporter())

    def kill(self, command: str, point: Failpoint) -> None:
        dies = replace(point, action="interrupt" if command == "down" else "raise")
        with suppress(KeyboardInterrupt, SandboxError):
            if command == "up":
                self.bring_up(dies, keep=True)
            else:
                self.take_down(dies)

    @property
    def edits(self) -> tuple[str, ...]:
        return tuple(EDITS)

    def edit(self, what: str) -> None:
        self._changes = dict(EDITS[what])

    def steps(self) -> list[str]:
        return [step.name for step in self.plan()]

    def remove(self, part: str) -> None:
        match part:
            case "registry" | "edge" | "node":
                named = {"registry": self.names.registry, "edge": EDGE, "node": self.names.node}
                self.engine.remove_container(named[part])
            case "network":
                with suppress(EngineError):  # a user is on it
                    self.engine.remove_network(NETWORK)
            case "context":
                self.home.kubeconfig.write_text(yaml.safe_dump(FOREIGN))

    def restart_engine(self) -> None:
        """Every container is there again afterwards, perhaps at another address."""
        boxes = [box for box in self.engine.boxes.values() if box.running and box.spec.name != "theirs"]
        addresses = [box.address for box in boxes]
        for box, address in zip(boxes, reversed(addresses), strict=True):
            box.address = address

    def foreign(self) -> object:
        """All that is not ours, to be compared."""
        config = kubeconfigs.read(self.home.kubeconfig)
        others = {
            kind: [one for one in config[kind] if one["name"] != self.names.cluster] for kind in kubeconfigs.KINDS
        }
        return "theirs" in self.engine.boxes, "theirs" in self.engine.networks, "theirs" in self.engine.volumes, others

    def left(self) -> set[str]:
        found = {f"container {name}" for name in self.engine.boxes if name != "theirs"}
        found |= {f"network {name}" for name in self.engine.networks if name != "theirs"}
        found |= {f"volume {name}" for name in self.engine.volumes if name != "theirs" and not name.startswith("/")}
        found |= {f"route {one.name}" for one in routes.load(self.home.edge)}
        found |= {str(path) for path in (self.names.folder, self.names.keys, self.names.mirrors) if path.exists()}
        state = self.home.state
        found |= {str(path) for path in state.rglob("*") if path.name.endswith((".tmp", "kubeconfig.lock"))}
        found |= {str(path) for path in self.folder.iterdir() if path.name not in {"state", "cache", "config"}}
        config = kubeconfigs.read(self.home.kubeconfig)
        if (config["current-context"], len(config["contexts"])) != ("work", 1):
            found.add("a context")
        return found

    def close(self) -> None:
        self.stack.close()

    @contextmanager
    def _armed(self, point: Failpoint | None) -> Iterator[None]:
        failpoint.arm(point, doors=DOORS | {FakeEngine.__module__, __name__})
        try:
            yield
        finally:
            failpoint.arm(None)
            interruption.clear()

    def _new_cluster(self) -> None:
        self.server.objects = Controllers()
        deployment = {"replicas": 2, "template": {"metadata": {"labels": {"k8s-app": "kube-dns"}}}}
        self.server.objects["/apis/apps/v1/namespaces/kube-system/deployments/coredns"] = {
            "kind": "Deployment",
            "metadata": {"name": "coredns"},
            "spec": deployment,
        }
        self._running = set()

    def _systemctl(self, box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
        if argv[1] == "restart":
            self._running.add(argv[2])
        if argv[1] == "is-active":
            return 0 if argv[-1] in self._running else 3, ""
        return 0, ""


def small_world() -> SmallWorld:
    stack = ExitStack()
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    world = SmallWorld(folder, stack.enter_context(Simulator()), stack.enter_context(serving()), stack)
    stack.enter_context(mock.patch.object(Kind, "of", lambda *_, **__: world.kind))
    # Its API server has neither certificates nor accounts.
    stack.enter_context(mock.patch("sandbox.components.cluster.kubeconfig.of_cluster", bytes))
    return world


def _playing(engine: FakeEngine, nodes: Nodes, names: Names, new_cluster: Callable[[], None], port: int) -> Kind:
    class Playing(Kind):
        def create(self, name: str, *, image: str, config: Path, folder: Path, on_line: Callable[[str], None]) -> None:
            nodes.add(names, names.node, "control-plane")
            on_line(" ✓ Preparing nodes 📦")
            new_cluster()
            on_line(" ✓ Installing StorageClass 💾")

        def kubeconfig(self, name: str, folder: Path) -> bytes:
            path = kubeconfig(folder / "exported", port)
            content = path.read_bytes()
            path.unlink()
            return content

        def delete(self, name: str) -> None:
            for box in engine.containers(f"io.x-k8s.kind.cluster={name}"):
                engine.remove_container(box.name)

    return Playing(Path("/kind"), NETWORK)


def _foreign() -> ContainerSpec:
    return ContainerSpec(name="theirs", image="busybox", command=("true",), labels={}, network="theirs")
