"""The containers of pods: their images and states, why one does not run, and whether waiting can help."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from sandbox.system import inotify

CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
TEMPLATES = {
    "Pod": (),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    **dict.fromkeys(
        ("Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "ReplicationController", "Job"), ("spec", "template")
    ),
}
# Reasons of waiting (kubernetes, pkg/kubelet/kuberuntime and pkg/kubelet/images).
HOPELESS = {"InvalidImageName", "ErrImageNeverPull"}
UNPULLED = {"ErrImagePull", "ImagePullBackOff"}
# What is missing may be a Secret that an operator is about to make, or the Services, which a kubelet that has just
# started has not read yet (kubernetes, pkg/kubelet/kubelet_pods.go).
MISSING = "CreateContainerConfigError"
# The same reason for a user that the pod forbids (kubernetes, pkg/kubelet/kuberuntime/security_context.go).
FORBIDDEN_USER = re.compile(r"runAsNonRoot|non-root policy")
CRASHING = "CrashLoopBackOff"
WAITING = HOPELESS | UNPULLED | {MISSING, CRASHING, "CreateContainerError", "RunContainerError"}
# Reasons of an end: containerd could not start the program at all, or the kernel ended it.
UNSTARTABLE = {"StartError", "ContainerCannotRun"}
# containerd's messages where the program is not the cause and the next start may succeed: the kubelet was restarted, or
# a busy kernel changed no control group in time (cgroup v1: "unable to freeze").
PASSING = re.compile(r"context canceled|cgroup config")
# Messages about an image that no second try will bring: of registries (OCI distribution-spec, error codes), containerd
# and the resolver, or of no registry on the node itself. A registry elsewhere that does not answer may do so later.
NO_IMAGE = re.compile(
    r"not found|no such host|does not exist|manifest unknown|unauthorized|denied|forbidden"
    r"|dial tcp (127\.\S+|\[::1\]:\d+): connect: connection refused",
    re.IGNORECASE,
)
# Messages of Go programs when the kernel has no more inotify instances for a user; every cluster uses dozens.
EXHAUSTED = "too many open files"
MORE_INSTANCES = f"{inotify.RAISE} (in /etc/sysctl.d to last), or take another cluster down"
# The words of runc without its frames: `failed to create containerd task: … runc create failed: … exec: "x": …`.
_FRAMES = re.compile(r"^.*(?:unable to start container process|runc create failed): (?:error during container init: )?")

# Seconds, and numbers of restarts. The kubelet waits 10, 20, 40 and 80 seconds between restarts: three are over after
# half a minute, five after two and a half.
PULL_PATIENCE = 20.0  # in which the kubelet tries at least twice
MISSING_PATIENCE = 30.0
CRASHES, MOST_CRASHES = 3, 5
BACK_OFF = 10.0  # doubled each time
# The condition of a pod that has a sandbox, which it gets once more after its node was started (kubernetes,
# pkg/kubelet/status/generate.go).
PLACED = "PodReadyToStartContainers"


class Outlook(Enum):
    OPEN = "may start yet"
    POOR = "cannot start unless something else changes, which is yet to come up"
    NONE = "cannot start"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A container that does not run: why it waits or how it ended, and how often it was restarted.

    `crashes`: restarts that can have followed a crash.
    """

    container: str
    reason: str
    message: str = ""
    ended: str = ""
    exit_code: int | None = None
    restarts: int = 0
    crashes: int = 0
    running: bool = False

    def __str__(self) -> str:
        parts = [self.reason]
        if self.ended and self.ended not in ("Error", self.reason):
            parts.append(self.ended)
        if self.exit_code is not None:
            parts.append(f"exit code {self.exit_code}")
        if self.restarts:
            parts.append("restarted once" if self.restarts == 1 else f"restarted {self.restarts} times")
        message = _FRAMES.sub("", self.message.strip().replace("\n", " "))
        return f"container {self.container}: {', '.join(parts)}" + (f": {message}" if message else "")

    def outlook(self, waited: float) -> Outlook:
        """Return whether it may still start, `waited` seconds after its workload was applied."""
        if self.reason in HOPELESS or EXHAUSTED in self.message:
            return Outlook.NONE
        if self.reason in UNPULLED:
            return Outlook.NONE if waited > PULL_PATIENCE and NO_IMAGE.search(self.message) else Outlook.OPEN
        if self.reason == MISSING:
            if FORBIDDEN_USER.search(self.message):
                return Outlook.NONE
            return Outlook.POOR if waited > MISSING_PATIENCE else Outlook.OPEN
        if self.running:  # it may have what it needs by now
            return Outlook.OPEN
        if self.unstartable and self.restarts >= 1:
            return Outlook.NONE
        if self.crashes >= CRASHES:
            return Outlook.NONE if self.crashes >= MOST_CRASHES else Outlook.POOR
        return Outlook.OPEN

    @property
    def unstartable(self) -> bool:
        return self.ended in UNSTARTABLE and not PASSING.search(self.message)

    @property
    def has_log(self) -> bool:
        """Whether its program ran, and may have written why it ended."""
        return (self.reason == CRASHING or self.exit_code is not None) and self.ended not in UNSTARTABLE

    @property
    def fix(self) -> str:
        """What to do about it; empty where the message says it, or only the program itself can tell."""
        if EXHAUSTED in self.message:
            return MORE_INSTANCES
        if self.ended == "OOMKilled":
            return f"raise resources.limits.memory of the container {self.container}"
        if self.unstartable:
            return (
                f"correct `command` of the container {self.container}, or the image's ENTRYPOINT: "
                "the program must be in the image, executable, and made for this machine"
            )
        return ""


def containers(manifest: Mapping[str, Any], groups: Sequence[str] = CONTAINERS) -> Iterator[dict[str, Any]]:
    """Yield every container of the pods that `manifest` makes; none where its form is wrong, as the cluster reports."""
    template: Any = manifest
    try:
        for key in TEMPLATES.get(manifest["kind"], ("",)):
            template = template.get(key) or {}
        yield from containers_in(template.get("spec") or {}, groups)
    except AttributeError:
        return


def containers_in(pod: Any, groups: Sequence[str] = CONTAINERS) -> Iterator[dict[str, Any]]:
    for group in groups:  # in a user's file anything may be in the place of a container
        listed = pod.get(group) if isinstance(pod, dict) else None
        if isinstance(listed, list):
            yield from (container for container in listed if isinstance(container, dict))


def lasting(pod: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the containers in the spec of a pod that run as long as it does: also sidecars (KEP-753)."""
    yield from containers_in(pod, ("containers",))
    yield from (
        container for container in containers_in(pod, ("initContainers",)) if container.get("restartPolicy") == "Always"
    )


def container_statuses(pod: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the statuses of a pod's containers, its init containers first."""
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def pod_images(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield the image of each container in the pods of `manifest`; nothing for kinds without pods."""
    for container in containers(manifest):
        if reference := str(container.get("image") or ""):
            yield reference


def faults(pod: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield a fault for each container of a pod that waits because of an error, or ended with one.

    A container that ended before its pod got its present sandbox was stopped with its node, and starts once more.
    """
    placed = placed_since(pod)
    is_over = (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded")
    for container in container_statuses(pod):
        state = container.get("state") or {}
        waiting = state.get("waiting") or {}
        end = state.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
        ended = str(end.get("finishedAt") or "")
        was_stopped = placed is not None and not is_over and (not placed or ended < placed)
        if waiting.get("reason") in WAITING:
            reason = str(waiting["reason"])
        elif end.get("exitCode", 0) != 0 and not container.get("ready") and not was_stopped:
            reason = str(end.get("reason") or "Error")
        else:
            continue
        crashed = bool(end) and reason not in UNPULLED | HOPELESS | {MISSING}
        # A back-off's message is its length; that of the end before it is the cause.
        messages = (end.get("message"), "" if reason == CRASHING and crashed else waiting.get("message"))
        yield Fault(
            container=container["name"],
            reason=reason,
            message=next(filter(None, messages if crashed else messages[::-1]), ""),
            ended=str(end.get("reason", "")) if crashed else "",
            exit_code=end.get("exitCode") if crashed else None,
            restarts=container.get("restartCount", 0),
            crashes=_crashes(container.get("restartCount", 0), placed or "", ended),
            running="running" in state,
        )


def placed_since(pod: Mapping[str, Any]) -> str | None:
    """Return since when a pod has its sandbox, empty while it has none; None where its kubelet does not report it."""
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") == PLACED:
            return str(condition.get("lastTransitionTime") or "") if condition.get("status") == "True" else ""
    return None


def _crashes(restarts: int, placed: str, ended: str) -> int:
    # The kubelet delays each restart after a crash longer than the one before. Other restarts were those of the node.
    if not placed or not ended:
        return restarts
    begun, crash = map(datetime.fromisoformat, (placed, ended))
    seconds = (crash - begun).total_seconds() + 1  # both are whole ones
    return min(restarts, 1 + int(math.log2(1 + max(seconds, 0) / BACK_OFF)))
