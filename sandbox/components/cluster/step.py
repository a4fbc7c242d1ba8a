"""The Kubernetes cluster itself."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.kube.api import Cluster, ClusterError
from sandbox.names import Names
from sandbox.provider import Provider, Standing
from sandbox.step import State, Status, Work
from sandbox.system import files
from sandbox.system.wait import wait_until


@dataclass(frozen=True)
class ClusterStep:
    """A cluster of whatever kind; ready when it is as the spec says and its API server answers."""

    provider: Provider
    names: Names
    version: str
    name: str = "cluster"
    needs: tuple[str, ...] = ("images", "network")

    @property
    def title(self) -> str:
        return f"Cluster {self.names.cluster} ({self.version})"

    def check(self) -> Status:
        standing = self.provider.standing()
        if standing is Standing.ABSENT:
            return Status(State.ABSENT)
        if standing is Standing.PARTIAL:
            return Status(State.ABSENT, "an earlier start was interrupted")
        stale = self.provider.stale()
        if stale:
            return Status(State.STALE, stale, "everything in the cluster")
        if standing is Standing.STOPPED:
            return Status(State.DRIFTED, f"stopped; sandbox start {self.names.name}")
        drift = self.provider.drift()
        if drift:
            return Status(State.DRIFTED, drift)
        if not self._answers():
            return Status(State.DRIFTED, "its API server does not answer")
        return Status(State.READY, ", ".join(self.provider.nodes.running()))

    def apply(self, work: Work) -> None:
        files.make_private_dir(self.names.folder)
        if self.provider.standing() in (Standing.ABSENT, Standing.PARTIAL):
            self.provider.create(work.say, work.usable)
        else:
            self.provider.start(work.say)
        if not self.names.kubeconfig.exists():
            self.provider.write_kubeconfig()
        wait_until(lambda: None if self._answers() else "no answer yet", what="the API server", timeout=120)

    def stop(self) -> bool:
        if self.provider.standing() in (Standing.ABSENT, Standing.STOPPED):
            return False
        self.provider.stop()
        return True

    def rebuild(self, work: Work) -> None:
        """Make another cluster in place of this one."""
        self.provider.delete()
        self.apply(work)

    def undo(self) -> bool:
        return self.provider.delete()

    def _answers(self) -> bool:
        try:
            return Cluster(self.names.kubeconfig).is_up()
        except ClusterError:
            return False
