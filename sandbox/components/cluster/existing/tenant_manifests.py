"""The user's manifests as they are to be in a cluster that is not ours: one namespace, images by their name there."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sandbox.errors import UsageError
from sandbox.kube.api import Manifest, title

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
CONTAINERS = ("containers", "initContainers", "ephemeralContainers")


def placed(
    manifests: Sequence[Manifest],
    *,
    namespaced: Mapping[tuple[str, str], bool],
    images: Mapping[str, str],
    pull_secret: str | None,
    ingress_class: str | None,
) -> list[dict[str, Any]]:
    """The manifests without their own namespaces, which are left out themselves.

    `namespaced` tells of each (apiVersion, kind) whether it lives in a namespace, `images` what an image that begins so
    begins with there, and its pods get the `pull_secret`. Raises UsageError for objects of the whole cluster, and for
    two that would become one.
    """
    wanted = [one for one in manifests if one["kind"] != "Namespace"]
    wide = [title(one) for one in wanted if not namespaced.get((one["apiVersion"], one["kind"]), True)]
    if wide:
        raise UsageError(
            "these objects are for the whole cluster, which is not the sandbox's",
            details="\n".join(wide),
            fix="have them installed by whoever runs the cluster, and take them out of `apply`",
        )
    seen: dict[tuple[str, str, str], str] = {}
    for one in wanted:
        key = (one["apiVersion"], one["kind"], one["metadata"]["name"])
        if key in seen:
            raise UsageError(
                f"{seen[key]} and {title(one)} would be one object: everything goes to a single namespace",
                fix="give one of them another name",
            )
        seen[key] = title(one)
    return [_placed(one, images, pull_secret, ingress_class) for one in wanted]


def _placed(manifest: Manifest, images: Mapping[str, str], pull_secret: str | None, of: str | None) -> dict[str, Any]:
    made = copy.deepcopy(dict(manifest))
    made["metadata"].pop("namespace", None)
    if made["kind"] == "Ingress" and of:
        made.setdefault("spec", {})["ingressClassName"] = of
        (made["metadata"].get("annotations") or {}).pop(CLASS_ANNOTATION, None)
    for pod in _pods(made):
        if _rename(pod, images) and pull_secret:
            secrets = pod.setdefault("imagePullSecrets", [])
            if {"name": pull_secret} not in secrets:
                secrets.append({"name": pull_secret})
    return made


def _rename(pod: dict[str, Any], images: Mapping[str, str]) -> bool:
    """Whether any of its images has another name there."""
    changed = False
    for container in (one for kind in CONTAINERS for one in pod.get(kind) or ()):
        here, slash, rest = str(container.get("image", "")).partition("/")
        if slash and here in images:
            container["image"] = f"{images[here]}/{rest}"
            changed = True
    return changed


def _pods(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The specs of the pods that an object makes or is."""
    if manifest["kind"] == "Pod":
        yield manifest.get("spec") or {}
        return
    spec = manifest.get("spec") or {}
    for holder in (spec, (spec.get("jobTemplate") or {}).get("spec") or {}):
        template = holder.get("template") if isinstance(holder, dict) else None
        if isinstance(template, dict) and isinstance(template.get("spec"), dict):
            yield template["spec"]
