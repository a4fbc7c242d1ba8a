"""The images that the pods of a manifest will run, and whether a node will ask a registry for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

TEMPLATES = {
    "Pod": (),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    **dict.fromkeys(
        ("Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "ReplicationController", "Job"), ("spec", "template")
    ),
}


@dataclass(frozen=True)
class PodImage:
    """An image; `always` says that its registry is asked though a node has it."""

    reference: str
    always: bool


def pod_spec(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """The spec of the pods that `manifest` makes; empty for kinds that make no pods."""
    template: Any = manifest
    for key in TEMPLATES.get(manifest["kind"], ("",)):
        template = template.get(key) or {}
    return template.get("spec") or {}


def pod_images(manifest: Mapping[str, Any]) -> Iterator[PodImage]:
    """The images of every container of the pods that `manifest` makes; none for kinds that make no pods."""
    spec = pod_spec(manifest)
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        reference = str(container.get("image") or "")
        if reference:
            yield PodImage(reference, _asks(reference, container.get("imagePullPolicy")))


def _asks(reference: str, policy: str | None) -> bool:
    """Whether the kubelet pulls an image it has (Kubernetes, "Images": `Always` is the default of the tag `latest`)."""
    if policy is not None:
        return policy == "Always"
    name = reference.rpartition("/")[2]
    return "@" not in reference and (":" not in name or name.endswith(":latest"))
