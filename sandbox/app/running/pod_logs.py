"""The logs of a sandbox's pods, for `sandbox logs`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.app.dev.dev_report import Container
from sandbox.app.dev.pod_watch import failed_lives, started_lives
from sandbox.app.running.project_workloads import Workload, is_system
from sandbox.kube.api import Cluster
from sandbox.sanitize import fit

LAST = 10  # lines of a run that ended in an error


@dataclass(frozen=True)
class PodLogs:
    """The logs of `workload`, or of all pods outside the system's namespaces; `namespace` is the only usable one."""

    cluster: Cluster
    workload: Workload | None
    namespace: str | None

    def pods(self) -> list[dict[str, Any]]:
        """Return the pods that are meant. Raises ClusterError."""
        if self.workload:
            return self.workload.pods(self.cluster)
        pods = self.cluster.list("v1", "Pod", self.namespace)
        return [pod for pod in pods if self.namespace or not is_system(pod["metadata"]["namespace"])]

    def show(self, line: Callable[[Container, str], None], *, lines: int, since: int | None, previous: bool) -> int:
        """Pass the last `lines` of each container to `line`, of the last `since` seconds; return how many there were.

        `previous`: of the run before the last restart. Without it, a container that was restarted after an error also
        shows the last lines of the run that failed. Raises ClusterError.
        """
        count = 0
        for pod in self.pods():
            failed = {name for _, name, _ in failed_lives(pod)}
            for _, name, restarts in started_lives(pod):
                container = Container(pod["metadata"]["namespace"], pod["metadata"]["name"], name)
                if restarts and name in failed and not previous:
                    count += self._print(line, container, lines=min(LAST, lines), since=since, previous=True)
                count += self._print(line, container, lines=lines, since=since, previous=previous)
        return count

    def _print(
        self,
        line: Callable[[Container, str], None],
        container: Container,
        *,
        lines: int,
        since: int | None,
        previous: bool,
    ) -> int:
        text = self.cluster.log(
            container.pod, container.namespace, lines=lines, container=container.name, previous=previous, seconds=since
        )
        for each in text.splitlines():
            line(container, fit(each))
        return len(text.splitlines())
