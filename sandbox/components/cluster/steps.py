"""Steps of every cluster: the cluster, its context for kubectl, images in its nodes, our containers on its network."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sandbox.components.cluster import kubeconfig
from sandbox.components.network.step import LOSES
from sandbox.engine import Container, Engine, labelled
from sandbox.engine.container_host import spare_address
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster, ClusterError, trouble_of
from sandbox.kube.workload_status import unready_nodes
from sandbox.names import Names
from sandbox.provider import Provider, Standing
from sandbox.step import NothingToUndo, State, Status, Work
from sandbox.system import files
from sandbox.system.wait import wait_until

API_TIMEOUT = 120.0


@dataclass(frozen=True)
class ClusterStep:
    """A cluster of any kind; ready when it is as the spec says, its API server answers, and its nodes are ready."""

    provider: Provider
    names: Names
    version: str
    name: str = "cluster"
    requires: tuple[str, ...] = ("images", "network")

    @property
    def title(self) -> str:
        return f"Cluster {self.names.cluster} ({self.version})"

    def check(self) -> Status:
        standing = self.provider.standing()
        if standing is Standing.ABSENT:
            return Status(State.ABSENT, "its nodes were removed, not by sandbox" if self.is_lost() else "")
        if standing is Standing.PARTIAL:
            return Status(State.ABSENT, "an earlier start was interrupted")
        if stale := self.provider.stale():
            return Status(State.STALE, stale, LOSES)
        if standing is Standing.STOPPED:
            return Status(State.DRIFTED, f"stopped; sandbox start {self.names.name}")
        if drift := self.provider.drift():
            return Status(State.DRIFTED, drift)
        if trouble_of(self.names.kubeconfig) is not None:
            return Status(State.DRIFTED, "its API server does not answer")
        if unready := self._unready():
            return Status(State.DRIFTED, unready)
        return self._ready

    def apply(self, work: Work) -> Status:
        files.make_private_dir(self.names.folder)
        try:
            Cluster(self.names.kubeconfig)
        except ClusterError:  # a damaged file is written again
            if files.is_file(self.names.kubeconfig):
                self.names.kubeconfig.unlink()
        started: Sequence[str] = ()
        unready = trouble_of(self.names.kubeconfig) is None and self._unready()
        if self.provider.standing() in (Standing.ABSENT, Standing.PARTIAL):
            self.provider.create(work.say, work.usable)
        else:
            started = self.provider.start(work.say)
        if not self.names.kubeconfig.exists():
            self.provider.write_kubeconfig()
        drift = self.provider.drift()  # while the API server comes; all else was made so, or was seen before
        fix = f"sandbox stop {self.names.name}, then sandbox start {self.names.name}"
        wait_until(partial(trouble_of, self.names.kubeconfig), what="the API server", timeout=API_TIMEOUT, fix=fix)
        self.provider.await_news(started)
        if unready:
            wait_until(self._unready, what="the nodes", timeout=60, fix=fix, say=work.say)
        return Status(State.DRIFTED, drift) if drift else self._ready

    def is_lost(self) -> bool:
        """Return whether others removed the nodes; `down` removes the kubeconfig with them."""
        return self.provider.standing() is Standing.ABSENT and self.names.kubeconfig.exists()

    def stop(self) -> bool:
        return self.provider.stop()

    def rebuild(self, work: Work) -> Status:
        self.provider.delete()
        return self.apply(work)

    def undo(self) -> bool:
        return self.provider.delete()

    @property
    def _ready(self) -> Status:
        nodes = self.provider.nodes
        running = nodes.running()
        lost = [node for node in nodes.every() if node not in running]  # the others go on
        without = f"; without {', '.join(lost)}, which is gone" if lost else ""
        return Status(State.READY, ", ".join(running) + without)

    def _unready(self) -> str | None:
        unready = unready_nodes(Cluster(self.names.kubeconfig), self.provider.nodes.running())
        return "; ".join(unready) or None


@dataclass(frozen=True)
class ContextStep:
    """One context, cluster and user of our name; nothing else in the file is changed."""

    names: Names
    name: str = "context"
    requires: tuple[str, ...] = ("cluster",)

    @property
    def title(self) -> str:
        return f"Context {self.names.cluster}"

    def check(self) -> Status:
        path, own = self.names.home.kubeconfig, self.names.kubeconfig
        if reason := kubeconfig.hindrance(path):
            return Status(State.READY, f"left alone, for {reason}; export KUBECONFIG={shlex.quote(str(own))}")
        is_merged = kubeconfig.holds(path, self.names.cluster, own)
        return Status(State.READY, str(path)) if is_merged else Status(State.ABSENT)

    def apply(self, work: Work) -> None:
        kubeconfig.merge(self.names.home.kubeconfig, self.names.cluster, self.names.kubeconfig)

    def undo(self) -> bool:
        home, name = self.names.home, self.names.cluster
        removed = [kubeconfig.remove(path, name) for path in (home.kubeconfig, *home.other_kubeconfigs)]
        return any(removed)


@dataclass(frozen=True)
class NodeImagesStep(NothingToUndo):
    """Images for pods, by name: the provider loads them into the nodes, and each node is asked whether it has them.

    `archive` opens an image's archive by its name. There are no images here where nodes pull them themselves.
    """

    provider: Provider
    images: Mapping[str, str]
    archive: Callable[[str], AbstractContextManager[Path]]
    name: str = "node-images"
    requires: tuple[str, ...] = ("cluster",)

    @property
    def title(self) -> str:
        return f"{len(self.images)} system images in the nodes"

    def check(self) -> Status:
        if missing := self._missing():
            is_all = len(missing) == len(self.images)
            return Status(State.ABSENT if is_all else State.DRIFTED, ", ".join(missing))
        return Status(State.READY, ", ".join(self.images))

    def apply(self, work: Work) -> None:
        for name in self._missing():
            work.say(name)
            with self.archive(name) as archive:
                self.provider.load(archive)
        if left := self._missing():
            raise SandboxError(
                f"the nodes did not take {', '.join(self.images[name] for name in left)}",
                details="the provider said that it loaded them",
                fix="see that the nodes have disk space left: docker system df",
            )

    def _missing(self) -> list[str]:
        nodes = self.provider.nodes
        running, ask = nodes.running(), ("crictl", "inspecti", "--quiet")
        return [
            name
            for name, reference in self.images.items()
            if any(nodes.engine.execute(node, (*ask, reference))[0] != 0 for node in running)
        ]


@dataclass(frozen=True)
class JoinStep(NothingToUndo):
    """Connects registry and mirrors to `network`, so that nodes and they resolve each other's names.

    They get addresses at the end of its range: providers give nodes the first ones, and a stopped node does not reserve
    its own.
    """

    engine: Engine
    names: Names
    network: str
    requires: tuple[str, ...] = ("cluster", "registry")
    after: tuple[str, ...] = ("mirrors",)
    name: str = "join"

    @property
    def title(self) -> str:
        return f"Network {self.network} joined"

    def check(self) -> Status:
        containers = self._containers()
        outside = [container.name for container in containers if self.network not in container.addresses]
        if outside:
            state = State.DRIFTED if len(outside) < len(containers) else State.ABSENT
            return Status(state, f"without {', '.join(outside)}")
        return Status(State.READY, ", ".join(container.name for container in containers))

    def apply(self, work: Work) -> None:
        for container in self._containers():
            if self.network not in container.addresses:
                self.engine.connect_network(self.network, container.name, spare_address(self.engine, self.network))

    def _containers(self) -> list[Container]:
        containers = labelled.containers(self.engine, self.names.home, self.names.name)
        return [container for container in containers if container.running]
