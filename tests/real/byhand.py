"""A kind cluster that a user made without us, on a network of its own, and a registry as kind's script adds one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.app import context
from sandbox.bundle import released_tools, system_images
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.components.cluster.kind.cluster_config import RESOLV_CONF, Tags, config
from sandbox.components.cluster.kind.command import Kind
from sandbox.config import schema
from sandbox.config.schema.cluster_schema import Mount
from sandbox.kube.api import Cluster
from sandbox.system.wait import wait_until
from tests.real import machine
from tests.real.machine import tool

# By its name the registry of https://kind.sigs.k8s.io/docs/user/local-registry/ is known.
REGISTRY = "kind-registry"
# What that script tells every node, and tools by KEP-1755.
HOSTS = f'[host."http://{REGISTRY}:5000"]\n'
HELP = "https://kind.sigs.k8s.io/docs/user/local-registry/"


@dataclass(frozen=True)
class ByHand:
    """The cluster; `archive` has the registry's image where there is no other way to have it."""

    name: str
    kubeconfig: Path
    kind: Kind
    archive: Path | None

    @property
    def cluster(self) -> Cluster:
        return Cluster(self.kubeconfig)

    @property
    def context(self) -> str:
        return f"kind-{self.name}"

    @property
    def node(self) -> str:
        return f"{self.name}-control-plane"


@contextmanager
def cluster(name: str, folder: Path, kubeconfig: Path, options: schema.KindOptions | None = None) -> Iterator[ByHand]:
    """A cluster of kind's that is ready; gone afterwards, as its network, which has its name. Files are in `folder`."""
    engine, home = machine.engine(), context.home()
    own = system_images.for_spec(schema.Spec(), home, engine)
    kind = Kind.of(released_tools.find("kind", Store(home.bundle)), name)
    store, tags = Store(home.bundle), None
    if own.source == "bundle":
        tags = Tags(etcd=f"{recipes()['etcd'].version}-0", coredns=recipes()["coredns"].version)
        if engine.image_id(own.references["node"]) is None:
            engine.load(store.image(recipes()["node"]))
    resolv = folder / "resolv.conf"
    resolv.write_text("nameserver 192.0.2.1\n")  # it resolves nothing of the outside, and need not
    mount = Mount.model_construct(host=resolv, node=RESOLV_CONF, read_only=True)
    shape = schema.Cluster(kind=options, mounts=(mount,))
    text = config(name, shape, cgroup_version=engine.facts().cgroup_version, tags=tags)
    file = folder / "kind.yaml"
    file.write_text(text)
    image = engine.image_id(own.references["node"]) or own.references["node"]
    made = ByHand(name, kubeconfig, kind, store.image(recipes()["registry"]) if own.source == "bundle" else None)
    kind.delete(name)
    try:
        kind.create(name, image=image, config=file, folder=folder, on_line=lambda line: None)
        kubeconfig.write_bytes(kind.kubeconfig(name, folder))
        wait_until(lambda: _unready(made.cluster), what=f"the cluster {name}", timeout=120)
        yield made
    finally:
        kind.delete(name)
        subprocess.run(["docker", "network", "rm", name], capture_output=True, check=False)


@contextmanager
def registry(made: ByHand, port: int) -> Iterator[None]:
    """The registry of kind's script on `port`, told to the nodes and to tools; gone afterwards."""
    engine = machine.engine()
    image = system_images.for_spec(schema.Spec(), context.home(), engine).references["registry"]
    if made.archive and engine.image_id(image) is None:
        engine.load(made.archive)
    run = ("docker", "run", "--detach", "--restart=always", "--network", "bridge", "--name", REGISTRY)
    tool(*run, "--publish", f"127.0.0.1:{port}:5000", "--env", "OTEL_TRACES_EXPORTER=none", image)
    try:
        tool("docker", "network", "connect", made.name, REGISTRY)
        place = f"/etc/containerd/certs.d/localhost:{port}"
        tool("docker", "exec", made.node, "mkdir", "-p", place)
        tool("docker", "exec", "-i", made.node, "cp", "/dev/stdin", f"{place}/hosts.toml", stdin=HOSTS)
        announce(made, port)
        yield
    finally:
        tool("docker", "rm", "--force", "--volumes", REGISTRY)


def announce(made: ByHand, port: int) -> None:
    """Tell tools of the registry (KEP-1755)."""
    metadata = {"name": "local-registry-hosting", "namespace": "kube-public"}
    said = {"localRegistryHosting.v1": f'host: "localhost:{port}"\nhelp: "{HELP}"\n'}
    made.cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": said})


def _unready(found: Cluster) -> str | None:
    """What the cluster still waits for: nodes that take pods, and pods that have not begun, those of DNS among them."""
    if any(one["spec"].get("taints") for one in found.list("v1", "Node")):
        return "a node is not ready"
    if any((one.get("status") or {}).get("phase") == "Pending" for one in found.list("v1", "Pod")):
        return "pods are pending"
    return None
