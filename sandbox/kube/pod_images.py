"""The containers of pods, their states and images; in a user's file anything may be in the place of a container."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
TEMPLATES = {
    "Pod": (),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    **dict.fromkeys(
        ("Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "ReplicationController", "Job"), ("spec", "template")
    ),
}


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
    for group in groups:
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
    """Return the statuses of a pod's containers, of those that come first first."""
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def pod_images(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield the image of each container in the pods of `manifest`; nothing for kinds without pods."""
    for container in containers(manifest):
        if reference := str(container.get("image") or ""):
            yield reference
