"""Nodes of kind in an engine in memory, which have files and pull what the test lets them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from sandbox.bundle.system_images import UPSTREAM
from sandbox.components.cluster import pod_proxy
from sandbox.components.cluster.company_ca import CompanyCa
from sandbox.components.cluster.dns import Dns
from sandbox.components.cluster.kind.cluster_config import RESOLV_CONF
from sandbox.components.cluster.kind.command import Kind
from sandbox.components.cluster.kind.provider import LOOK, MARK, KindProvider
from sandbox.components.cluster.kind.provider import nodes as kind_nodes
from sandbox.components.cluster.kind.worker_join import ROLE
from sandbox.components.cluster.pod_proxy import Proxied
from sandbox.components.network.proxy_settings import Proxies
from sandbox.config.schema import Cluster
from sandbox.engine import ContainerSpec
from sandbox.names import Names
from sandbox.system.resolvers import Upstream
from tests.support.fakes import NETWORK, FakeContainer, FakeEngine


@dataclass
class Nodes:
    """The programs of nodes: a listing of their files, and a canary that `answers` gives, by the node's name."""

    engine: FakeEngine
    answers: dict[str, str] = field(default_factory=dict)
    pulled: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engine.programs |= {"cat": _cat, "bash": self._bash, "rm": _rm}

    def add(self, names: Names, name: str, role: str = "worker") -> FakeContainer:
        labels = {"io.x-k8s.kind.cluster": names.cluster, ROLE: role}
        unnamed = {hashlib.sha256(f"{name} {len(self.engine.volumes)}".encode()).hexdigest(): "/var"}
        image, command = UPSTREAM["node"], ("init",)
        spec = ContainerSpec(name=name, image=image, command=command, labels=labels, network=NETWORK, volumes=unnamed)
        box = FakeContainer(spec, self.engine.images[UPSTREAM["node"]], read_only=False)
        self.engine.add(box)
        return box

    def _bash(self, box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
        if "look" not in argv:
            return 0, ""
        _, listing = _grep(box, argv[:5])
        if not argv[5]:
            return 0, listing
        self.pulled.append((box.spec.name, argv[5]))
        return 0, listing + self.answers.get(box.spec.name, "pulled 40\n")


def shell(box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
    """A node's shell: it shows the proxy of containerd, and restarts it with the one that is written."""
    if argv[2] == pod_proxy.RESTART:
        drop_in = box.files[PurePosixPath(pod_proxy.DROP_IN)].decode()
        box.log = "".join(f"{value}\n" for value in re.findall('^Environment="(.*)"$', drop_in, re.MULTILINE))
    if tuple(argv) == LOOK:
        return 0, box.files.get(PurePosixPath(RESOLV_CONF), b"").decode() + MARK + box.log
    return 0, box.log


def provider(engine: FakeEngine, names: Names, kind: Kind) -> KindProvider:
    """The provider that makes a sandbox's cluster with this kind."""
    told = Proxied(
        engine=engine, nodes=kind_nodes(engine, names), names=names, domain="demo.localhost", proxies=Proxies()
    )
    return KindProvider(
        engine=engine,
        names=names,
        kind=kind,
        shape=Cluster(),
        image=UPSTREAM["node"],
        tags=None,
        search=("corp",),
        proxied=told,
        company=CompanyCa("none"),
        dns=Dns(
            engine=engine,
            names=names,
            network=names.network,
            domain="demo.localhost",
            ingress=None,
            upstream=Upstream(("9.9.9.9",)),
        ),
    )


def _cat(box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
    content = box.files.get(PurePosixPath(argv[1]), b"nameserver 127.0.0.11\n")
    return 0, content.decode()


def _grep(box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
    under = PurePosixPath(argv[-1])
    found = {path: data for path, data in box.files.items() if under in path.parents}
    return 0, "".join(f"{path}\0{line}\n" for path, data in found.items() for line in data.decode().splitlines())


def _rm(box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
    for path in list(box.files):
        if any(PurePosixPath(one) in (path, *path.parents) for one in argv[2:]):
            del box.files[path]
    return 0, ""
