"""Upgrades the nodes of a kind cluster in place by kubeadm, with what the node image of another Kubernetes holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath

from sandbox.components.cluster.kind.api_answers import silence
from sandbox.components.cluster.kind.provider import VERSION, recorded_version
from sandbox.components.cluster.kind.worker_join import ADMIN
from sandbox.engine import Engine, container_copy, labelled
from sandbox.errors import SandboxError
from sandbox.names import Names
from sandbox.system import files
from sandbox.system.wait import retry, wait_until

PLACE = PurePosixPath("/kind/upgrade")
ETCD = PurePosixPath("/etc/kubernetes/manifests/etcd.yaml")
# What an upgrade that has begun is to end as; it outlives a command that is killed.
BEGUN = PurePosixPath("/kind/upgrade.json")
PACK = files.packaged("sandbox.components.cluster", "scripts/pack-kubernetes.sh")
RENEW = files.packaged("sandbox.components.cluster", "scripts/renew-etcd.sh")
SWAP = files.packaged("sandbox.components.cluster", "scripts/swap-kubelet.sh")
# kubeadm's own checks ask for a Job with an image that no node has; CoreDNS is the sandbox's.
SKIPPED = "--skip-phases=preflight,addon/coredns"
SKIPPED_BY_WORKER = "--skip-phases=preflight"
READY_TIMEOUT = 180.0  # seconds
# What kubeadm says when the API server goes away, as it does soon after an upgrade: a new kubelet, once it has said
# that its node is ready, replaces the pods of the control plane. One that is just back knows no one's rights yet.
AWAY = (
    "EOF",
    "connection refused",
    "connection reset",
    "TLS handshake timeout",
    "i/o timeout",
    "etcdserver:",
    "is forbidden",
)
TRIES = 3
_STATE = "{.status.nodeInfo.kubeletVersion} {.status.conditions[?(@.type=='Ready')].status}"


@dataclass(frozen=True)
class Begun:
    """An upgrade that was begun: to which Kubernetes, and the snapshot of the sandbox as it was before."""

    to: str
    snapshot: str


@dataclass(frozen=True, kw_only=True)
class NodeUpgrade:
    """The nodes of a cluster, control planes first, and the node image whose Kubernetes they are to have.

    `keeps_etcd`: the image is the bundle's, without the etcd that kubeadm would ask for, so that the present one stays.
    """

    engine: Engine
    names: Names
    nodes: tuple[str, ...]
    image: str
    version: str
    keeps_etcd: bool

    def begun(self) -> Begun | None:
        """Return the upgrade that was begun and has not ended, if there is one."""
        said = self.engine.read_file(self.names.node, BEGUN)
        return Begun(**json.loads(said)) if said else None

    def begin(self, snapshot: str) -> None:
        """Note on the control plane that an upgrade has begun."""
        self.engine.write_file(self.names.node, BEGUN, json.dumps({"to": self.version, "snapshot": snapshot}).encode())

    def run(self, say: Callable[[str], None]) -> None:
        """Upgrade every node that is not yet, one after another; safe to repeat. Raises SandboxError."""
        left = [node for node in self.nodes if recorded_version(self.engine, node) != self.version]
        if left:
            with self._unpacked(say) as parts:
                for node in left:
                    say(f"{node}: copying Kubernetes {self.version}")
                    self._run(node, "rm", "-rf", str(PLACE))
                    container_copy.carry(self.engine, parts, PLACE, node, PLACE.parent)
                    self._import(node)
        for node in filter(self._runs_etcd, self.nodes if left else ()):  # kubeadm asks all of them
            self._run(node, "bash", "-c", RENEW)
        for node in left:
            say(f"{node}: upgrading by kubeadm")
            self._kubeadm(node)
            say(f"{node}: starting the kubelet")
            self._run(node, "bash", "-c", SWAP, "swap", str(PLACE))
            wait_until(partial(self._silence, node), what=node, timeout=READY_TIMEOUT)
            self.engine.write_file(node, VERSION, self.version.encode())
        for node in self.nodes:
            self._run(node, "rm", "-rf", str(PLACE), str(BEGUN))

    def _kubeadm(self, node: str) -> None:
        """Run kubeadm on a node, and again where the API server went away meanwhile. Raises SandboxError."""

        def went_away(found: str | Exception) -> bool:
            return isinstance(found, SandboxError) and any(one in found.details for one in AWAY)

        def until_it_is_back(_: int) -> None:
            wait_until(partial(silence, self.engine, self.names.node), what="the API server", timeout=READY_TIMEOUT)

        upgrade = partial(self._run, node, str(PLACE / "programs" / "kubeadm"), "upgrade", *self._words(node))
        retry(upgrade, tries=TRIES, transient=went_away, wait=until_it_is_back)

    def _words(self, node: str) -> tuple[str, ...]:
        certificates = "--certificate-renewal=false"
        if node != self.names.node and not self._runs_etcd(node):
            return ("node", SKIPPED_BY_WORKER, certificates)
        etcd = f"--etcd-upgrade={str(not self.keeps_etcd).lower()}"
        what = ("apply", self.version, "--yes") if node == self.names.node else ("node",)
        return (*what, SKIPPED, certificates, etcd)

    @contextmanager
    def _unpacked(self, say: Callable[[str], None]) -> Iterator[str]:
        """Yield the name of a container that has programs and images of the new Kubernetes in PLACE."""
        name = self.names.upgrade
        labelled.make_room(self.engine, name, self.names.home)
        say(f"unpacking Kubernetes {self.version}")
        config = {"Image": self.image, "Entrypoint": ["sleep", "infinity"], "Labels": dict(self.names.labels)}
        self.engine.make(name, config, {"NetworkMode": "none", "Init": True})
        try:
            self.engine.start(name)
            self._run(name, "bash", "-c", PACK, "pack", str(PLACE), self.version)
            yield name
        finally:
            labelled.remove(self.engine, name, self.names.home)

    def _import(self, node: str) -> None:
        """Give a node the images; the kubelet takes them for images that were always there."""
        options = ("--local", "--snapshotter=overlayfs", "--discard-unpacked-layers")
        self._run(node, "ctr", "--namespace=k8s.io", "images", "import", *options, str(PLACE / "images.tar"))

    def _runs_etcd(self, node: str) -> bool:
        return self.engine.read_file(node, ETCD) is not None

    def _silence(self, node: str) -> str | None:
        """Return what keeps a node from being upgraded, or None."""
        words = ("kubectl", *ADMIN, "get", "node", node, "--output", f"jsonpath={_STATE}")
        status, said = self.engine.execute(self.names.node, words)
        return None if status == 0 and said.split() == [self.version, "True"] else said.strip() or "no answer"

    def _run(self, node: str, *argv: str) -> str:
        status, output = self.engine.execute(node, argv)
        if status != 0:
            shown = " ".join(word for word in argv[:4] if "\n" not in word)
            raise SandboxError(f"`{shown}` failed on {node}", details=output[-2000:], id="upgrade-failed")
        return output
