"""The Kubernetes cluster itself."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import PurePosixPath

from sandbox.cluster import proxy
from sandbox.cluster.api import Cluster, ClusterError
from sandbox.cluster.kind import RESOLV_CONF, Kind, Tags, config
from sandbox.errors import SandboxError
from sandbox.host import files
from sandbox.host.engine import Engine
from sandbox.host.resolvers import resolv_conf
from sandbox.host.waiting import WaitTimeout, wait_until
from sandbox.names import Names
from sandbox.steps.proxied import Proxied
from sandbox.steps.step import State, Status, Work

# A file in the node that says kind came to its end; it lasts as long as the node does.
COMPLETE = PurePosixPath("/kind/sandbox-complete")

SETTLE = 3.0  # seconds; the engine copies the image's /var before a new node is to be seen


@dataclass(frozen=True)
class ClusterStep:
    """A one-node kind cluster whose pods use our nameservers; ready when its API server answers.

    Nameservers, search domains and the proxy may change while it runs, for the files that say so are mounted.
    """

    engine: Engine
    names: Names
    kind: Kind
    image: str
    version: str
    tags: Tags | None
    nameservers: tuple[str, ...]
    search: tuple[str, ...]
    proxied: Proxied
    name: str = "cluster"
    needs: tuple[str, ...] = ("images", "network")

    @property
    def title(self) -> str:
        return f"Cluster {self.names.cluster} ({self.version})"

    def check(self) -> Status:
        node = self.engine.container(self.names.node)
        if node is None:
            return Status(State.ABSENT)
        if self._is_half_made():
            return Status(State.ABSENT, "an earlier start was interrupted")
        if not node.running:
            return Status(State.DRIFTED, "the node is stopped")
        if self.names.resolv_conf.exists() and self._resolv_conf() != self.names.resolv_conf.read_text():
            return Status(State.DRIFTED, "other nameservers")
        if not self._has_proxy():
            return Status(State.DRIFTED, f"another proxy than {self.proxied}")
        if not self._answers():
            return Status(State.DRIFTED, "its API server does not answer")
        return Status(State.READY, self.names.node)

    def apply(self, work: Work) -> None:
        files.make_private_dir(self.names.folder)
        self._write_mounted()
        node = self.engine.container(self.names.node)
        if node is None or self._is_half_made():
            self._create(work)
        elif not node.running:
            self.engine.start(self.names.node)
        elif not self._has_proxy():
            work.say("restarting containerd for another proxy")
            self._in_node(proxy.RESTART)
        if not self.names.kubeconfig.exists():
            self.kind.write_kubeconfig(self.names.cluster, self.names.kubeconfig)
        wait_until(lambda: None if self._answers() else "no answer yet", what="the API server", timeout=120)

    def undo(self) -> bool:
        nodes = self.engine.containers(f"io.x-k8s.kind.cluster={self.names.cluster}")
        if nodes:
            self.kind.delete(self.names.cluster, kubeconfig=self.names.kubeconfig)
        mounted = (self.names.resolv_conf, self.names.proxy_conf)
        for path in (self.names.kubeconfig, *mounted, self.names.folder / "kind.yaml"):
            path.unlink(missing_ok=True)
        if self.names.folder.exists() and not any(self.names.folder.iterdir()):
            self.names.folder.rmdir()
        return bool(nodes)

    def _create(self, work: Work) -> None:
        self.undo()
        files.make_private_dir(self.names.folder)
        self._write_mounted()
        file = self.names.folder / "kind.yaml"
        text = config(
            self.names.cluster,
            mounts={self.names.resolv_conf: RESOLV_CONF, self.names.proxy_conf: proxy.DROP_IN},
            cgroup_version=self.engine.cgroup_version(),
            tags=self.tags,
        )
        files.write_atomic(file, text.encode(), mode=0o600)

        def on_line(line: str) -> None:
            if "✓" in line or "•" in line:
                work.say(line.replace("✓", "").replace("•", "").strip(" ."))
            if "✓ Starting control-plane" in line:
                # What kind still does, storage and the network plugin, others need not wait for.
                self.kind.write_kubeconfig(self.names.cluster, self.names.kubeconfig)
                work.usable()

        # kind asks the engine for this very image, and by its id it can be no other.
        image = self.engine.image_id(self.image) or self.image
        try:
            self.kind.create(
                self.names.cluster, image=image, config=file, kubeconfig=self.names.kubeconfig, on_line=on_line
            )
        except BaseException:
            self._settle()
            raise
        self.engine.write_file(self.names.node, COMPLETE, b"")

    def _settle(self) -> None:
        """Let the engine finish the node that a stopped kind had asked for, so that it can be found and removed."""

        def coming() -> str | None:
            return None if self.engine.container(self.names.node) else "not there"

        with contextlib.suppress(WaitTimeout):
            wait_until(coming, what="the node", timeout=SETTLE, sleep=time.sleep)

    def _is_half_made(self) -> bool:
        """Whether kind was stopped before it had made the whole cluster."""
        return self.engine.read_file(self.names.node, COMPLETE) is None

    def _resolv_conf(self) -> str:
        return resolv_conf(self.nameservers, self.search)

    def _write_mounted(self) -> None:
        # Written in place: the files are mounted into the node, and replaced ones would no longer be.
        self.names.resolv_conf.write_text(self._resolv_conf())
        self.names.resolv_conf.chmod(0o644)
        self.names.proxy_conf.touch(0o600)
        self.names.proxy_conf.write_text(proxy.drop_in(self.proxied.variables()))

    def _has_proxy(self) -> bool:
        """Whether the containerd that runs was told of the proxy."""
        return proxy.read_shown(self._in_node(proxy.SHOWN)) == self.proxied.variables()

    def _in_node(self, script: str) -> str:
        status, output = self.engine.execute(self.names.node, ["sh", "-c", script])
        if status != 0:
            raise SandboxError(f"the proxy of {self.names.node} cannot be read or set", details=output)
        return output

    def _answers(self) -> bool:
        try:
            return Cluster(self.names.kubeconfig).is_up()
        except ClusterError:
            return False
