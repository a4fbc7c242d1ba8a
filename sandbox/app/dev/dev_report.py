"""What `dev` reports: its progress, the logs of a project's pods, and containers that ended unexpectedly."""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster, Manifest
from sandbox.kube.deletion import is_leaving
from sandbox.kube.pods import container_statuses
from sandbox.sanitize import fit

EVERY = 1.0  # seconds between two reads of the pods
LAST = 15  # lines that are shown of a container that ended
# What containerd says of containers that ended with their node, as at `stop` (internal/cri/store/container).
STOPPED = "Unknown"
# One run of a container: which of the pod's containers, and how often it was restarted.
Life = tuple[str, str, int]


@dataclass(frozen=True)
class Container:
    """A container of a pod, as users and programs know it."""

    namespace: str
    pod: str
    name: str


@dataclass(frozen=True)
class Crash:
    """A container that ended and should not have: its exit code, the reason, and the last lines of its log."""

    container: Container
    code: int
    reason: str
    lines: str
    fix: str


class DevReport:
    """Receives every phase of every change, and what pods write meanwhile, from several threads at once."""

    def watching(self, folders: Collection[Path]) -> None:
        """Report that everything is up, and that these files and folders are watched for changes."""

    def changed(self, paths: Collection[Path]) -> None:
        """Report changed files that require something to be done."""

    def progress(self, phase: str, detail: str) -> None:
        """Report the newest line of output."""

    def phase(self, name: str, what: str, seconds: float, detail: str = "") -> None:
        """Report the end of a phase: `build`, `push`, `sync`, `apply`, `roll-out`."""

    def failed(self, error: SandboxError) -> None:
        """Report an error; `dev` still waits for the next change."""

    def ready(self, seconds: float) -> None:
        """Report that everything is done, so many seconds after the change was seen."""

    def copied(self, seconds: float) -> None:
        """Report the same, but for files in containers whose programs may not have read them again."""

    def log(self, container: Container, line: str) -> None:
        """Report a line of a container's log."""

    def crashed(self, crash: Crash) -> None:
        """Report a container that ended in an error."""


@dataclass
class PodWatch:
    """Watches what `pods` returns in a thread; with `logs` every line of theirs is reported.

    `context` is the kubectl context that a fix names.
    """

    cluster: Callable[[], Cluster]
    pods: Callable[[], Iterable[Manifest]]
    report: DevReport
    context: str
    logs: bool
    _stop: threading.Event = field(default_factory=threading.Event)
    _followed: set[Life] = field(default_factory=set)
    _ended: set[Life] | None = None

    def begin(self) -> None:
        """Begin to watch; containers that ended before are not reported."""

        def watch() -> None:
            while not self._stop.is_set():
                with suppress(SandboxError):  # the cluster may be stopped, and started again
                    self.read(self.pods())
                self._stop.wait(EVERY)

        threading.Thread(target=watch, name="pods", daemon=True).start()

    def end(self) -> None:
        self._stop.set()

    def read(self, pods: Iterable[Manifest]) -> None:
        """Follow the containers that are new among these pods, and report those that ended since the last call."""
        pods, first = list(pods), self._ended is None
        ended = {life: (pod, state) for pod in pods for life, state in _failures(pod)}
        for life in ended.keys() - (self._ended or set()):
            if not first:
                self.report.crashed(self._crash(life, *ended[life]))
        self._ended = (self._ended or set()) | ended.keys()
        for pod in pods if self.logs else ():
            for life in started_lives(pod):
                if life not in self._followed:
                    self._followed.add(life)
                    place = Container(pod["metadata"]["namespace"], pod["metadata"]["name"], life[1])
                    threading.Thread(target=self._follow, args=(place, first), name="log", daemon=True).start()

    def _follow(self, place: Container, is_old: bool) -> None:
        seconds = 1 if is_old else None  # of a container that ran before, only new lines
        with suppress(SandboxError):
            for line in self.cluster().follow_log(place.pod, place.namespace, place.name, seconds=seconds):
                if self._stop.is_set():
                    return
                self.report.log(place, fit(line))

    def _crash(self, life: Life, pod: Manifest, state: dict[str, Any]) -> Crash:
        metadata, name = pod["metadata"], life[1]
        place = Container(metadata["namespace"], metadata["name"], name)
        status = next(status for status in container_statuses(pod) if status["name"] == name)
        again = "terminated" not in (status.get("state") or {})
        lines = self.cluster().log(place.pod, place.namespace, lines=LAST, container=name, previous=again)
        return Crash(
            container=place,
            code=int(state["exitCode"]),
            reason=str(state.get("reason", "")),
            lines=fit(lines),
            fix=undo_command(pod, self.context),
        )


def started_lives(pod: Manifest) -> Iterator[Life]:
    for status in container_statuses(pod):
        state = status.get("state") or {}
        if "running" in state or "terminated" in state:
            yield pod["metadata"]["uid"], status["name"], int(status.get("restartCount", 0))


def failed_lives(pod: Manifest) -> Iterator[Life]:
    """Yield the runs of containers of a pod that ended last in an error; a pod that is being deleted may do so."""
    return (life for life, _ in _failures(pod))


def _failures(pod: Manifest) -> Iterator[tuple[Life, dict[str, Any]]]:
    for status in () if is_leaving(pod) else container_statuses(pod):
        now, last = ((status.get(key) or {}).get("terminated") for key in ("state", "lastState"))
        state = now or last or {}
        if state.get("exitCode", 0) != 0 and state.get("reason") != STOPPED:
            restarts = int(status.get("restartCount", 0))
            yield (pod["metadata"]["uid"], status["name"], restarts - (not now)), state


def undo_command(pod: Manifest, context: str) -> str:
    metadata = pod["metadata"]
    owners = [each for each in metadata.get("ownerReferences") or () if each.get("kind") == "ReplicaSet"]
    label = (metadata.get("labels") or {}).get("pod-template-hash", "")
    if not owners or not label:
        return ""
    name = str(owners[0]["name"]).removesuffix(f"-{label}")
    return f"kubectl --context {context} --namespace {metadata['namespace']} rollout undo deployment/{name}"
