"""The Kubernetes cluster itself."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.cluster.api import Cluster, ClusterError
from sandbox.cluster.kind import Kind, Tags, config
from sandbox.host import files
from sandbox.host.engine import Engine
from sandbox.host.resolvers import resolv_conf
from sandbox.host.waiting import wait_until
from sandbox.names import Names
from sandbox.steps.step import Say, State, Status


@dataclass(frozen=True)
class ClusterStep:
    """A one-node kind cluster whose pods use our nameservers; ready when its API server answers."""

    engine: Engine
    names: Names
    kind: Kind
    image: str
    version: str
    tags: Tags | None
    nameservers: tuple[str, ...]
    name: str = "cluster"
    needs: tuple[str, ...] = ("images", "network")

    @property
    def title(self) -> str:
        return f"Cluster {self.names.cluster} ({self.version})"

    def check(self) -> Status:
        node = self.engine.container(self.names.node)
        if node is None:
            return Status(State.ABSENT)
        if not node.running:
            return Status(State.DRIFTED, "the node is stopped")
        if self.names.resolv_conf.exists() and self._resolv_conf() != self.names.resolv_conf.read_text():
            return Status(State.DRIFTED, "other nameservers")
        if not self._answers():
            return Status(State.DRIFTED, "its API server does not answer")
        return Status(State.READY, self.names.node)

    def apply(self, say: Say) -> None:
        files.make_private_dir(self.names.folder)
        self._write_resolv_conf()
        node = self.engine.container(self.names.node)
        if node is None:
            self._create(say)
        elif not node.running:
            self.engine.start(self.names.node)
        if not self.names.kubeconfig.exists():
            self.kind.write_kubeconfig(self.names.cluster, self.names.kubeconfig)
        wait_until(lambda: None if self._answers() else "no answer yet", what="the API server", timeout=120)

    def undo(self) -> None:
        if self.engine.containers(f"io.x-k8s.kind.cluster={self.names.cluster}"):
            self.kind.delete(self.names.cluster, kubeconfig=self.names.kubeconfig)
        for path in (self.names.kubeconfig, self.names.resolv_conf, self.names.folder / "kind.yaml"):
            path.unlink(missing_ok=True)
        if self.names.folder.exists() and not any(self.names.folder.iterdir()):
            self.names.folder.rmdir()

    def _create(self, say: Say) -> None:
        file = self.names.folder / "kind.yaml"
        text = config(
            self.names.cluster,
            resolv_conf=self.names.resolv_conf,
            cgroup_version=self.engine.cgroup_version(),
            tags=self.tags,
        )
        files.write_atomic(file, text.encode(), mode=0o600)

        def on_line(line: str) -> None:
            if "✓" in line or "•" in line:
                say(line.replace("✓", "").replace("•", "").strip(" ."))

        # kind asks the engine for this very image, and by its id it can be no other.
        image = self.engine.image_id(self.image) or self.image
        self.kind.create(
            self.names.cluster, image=image, config=file, kubeconfig=self.names.kubeconfig, on_line=on_line
        )

    def _resolv_conf(self) -> str:
        return resolv_conf(self.nameservers)

    def _write_resolv_conf(self) -> None:
        # Written in place: the file is mounted into the node, and a replaced one would no longer be.
        self.names.resolv_conf.write_text(self._resolv_conf())
        self.names.resolv_conf.chmod(0o644)

    def _answers(self) -> bool:
        try:
            return Cluster(self.names.kubeconfig).is_up()
        except ClusterError:
            return False
