"""What is told of a project's pods: their lines, and containers that end in an error."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest

from sandbox.app.dev.dev_report import Container, Crash, DevReport, PodWatch, failed_lives
from sandbox.kube.api import Cluster


class Pods:
    """The part of a cluster that is asked for lines."""

    def __init__(self) -> None:
        self.followed: list[tuple[str, int | None]] = []

    def log(self, pod: str, namespace: str, *, lines: int, container: str, previous: bool) -> str:
        return f"{pod} {container} previous={previous}\x1b[2J"

    def follow_log(self, pod: str, namespace: str, container: str, *, seconds: int | None) -> Iterator[str]:
        self.followed.append((pod, seconds))
        yield f"{pod} says \x1b[31mhello"


class Heard:
    """The part of a report that hears of pods."""

    def __init__(self) -> None:
        self.lines: list[tuple[Container, str]] = []
        self.crashes: list[Crash] = []
        self.told = threading.Event()

    def log(self, container: Container, line: str) -> None:
        self.lines.append((container, line))
        self.told.set()

    def crashed(self, crash: Crash) -> None:
        self.crashes.append(crash)


def watch(pods: Pods, heard: Heard, *, logs: bool = False) -> PodWatch:
    cluster, report = cast("Cluster", pods), cast("DevReport", heard)
    return PodWatch(
        cluster=lambda: cluster, pods=lambda: cluster.list("v1", "Pod", "shop"), report=report, context="c", logs=logs
    )


def pod(name: str = "web-abc-1", *, code: int | None = None, restarts: int = 0, waits: bool = True, **more: Any) -> Any:
    ended = {"terminated": {"exitCode": code, "reason": "Error"}}
    if code is None:
        state: dict[str, Any] = {"state": {"running": {}}}
    else:
        state = {"state": {"waiting": {}}, "lastState": ended} if waits else {"state": ended}
    return {
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": name,
            "labels": {"pod-template-hash": "abc"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-abc"}],
            **more,
        },
        "status": {"containerStatuses": [{"name": "web", "restartCount": restarts, **state}]},
    }


@pytest.mark.fault(87)
def test_crash_is_reported_once_with_last_lines_and_the_undo() -> None:
    """A container exits with status 3 → its last lines, and the command that takes the roll-out back."""
    heard = Heard()
    pods = watch(Pods(), heard)
    pods.read([pod()])
    pods.read([pod(code=3, waits=False)])
    pods.read([pod(code=3, restarts=1)])  # the same end, and started again
    (crash,) = heard.crashes
    assert (crash.code, crash.lines) == (3, "web-abc-1 web previous=False")
    assert crash.fix == "kubectl --context c --namespace shop rollout undo deployment/web"
    pods.read([pod(code=4, restarts=2)])
    assert heard.crashes[1].lines == "web-abc-1 web previous=True"


def test_earlier_crashes_and_deleted_pods_are_not_reported() -> None:
    heard = Heard()
    pods = watch(Pods(), heard)
    pods.read([pod(code=1, restarts=4)])
    pods.read([pod(code=1, restarts=4), pod("b", code=143, waits=False, deletionTimestamp="2026-01-01T00:00:00Z")])
    assert heard.crashes == []


def test_container_that_ended_well_or_with_its_node_did_not_fail() -> None:
    """`stop` and `start` in another terminal → no crash, and no advice to take a roll-out back."""
    assert list(failed_lives(pod(code=0, waits=False))) == []
    stopped = pod(code=255, restarts=1)
    assert list(failed_lives(stopped))
    stopped["status"]["containerStatuses"][0]["lastState"]["terminated"]["reason"] = "Unknown"
    assert list(failed_lives(stopped)) == []


def test_lines_are_sanitized_and_containers_followed_once() -> None:
    heard, cluster = Heard(), Pods()
    pods = watch(cluster, heard, logs=True)
    pods.read([pod()])
    assert heard.told.wait(10)
    pods.read([pod()])
    assert heard.lines == [(Container("shop", "web-abc-1", "web"), "web-abc-1 says hello")]
    heard.told.clear()
    pods.read([pod(), pod("new")])
    assert heard.told.wait(10)
    assert cluster.followed == [("web-abc-1", 1), ("new", None)]  # of what ran before, only new lines
