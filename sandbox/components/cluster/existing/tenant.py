"""A cluster that exists already: one namespace to use, only labelled objects touched, user manifests fitted to it."""

from __future__ import annotations

import copy
import getpass
import socket
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sandbox.errors import UsageError
from sandbox.fast_dataclass import dataclass
from sandbox.kube.api import Cluster, ClusterError, Manifest, Say, log, title
from sandbox.names import LABEL, Names

# Made by controllers from what is ours, under our labels; they go with it.
DERIVED = {"Endpoints", "EndpointSlice", "ReplicaSet", "ControllerRevision", "PodMetrics", "Event"}
WIDTH = 8
CLASS_ANNOTATION = "kubernetes.io/ingress.class"
CONTAINERS = ("containers", "initContainers", "ephemeralContainers")


def user_at_host() -> str:
    """USER@HOST; for people to read, and proof of nothing."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # an id without a name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


class NotOurs(ClusterError):
    """An object of that name is there already, and without our label."""

    id = "not-ours"


class Tenant(Cluster):
    """One namespace of a cluster, in which every object of the sandbox `name` carries its label."""

    def __init__(self, kubeconfig: Path, namespace: str, name: str) -> None:
        super().__init__(kubeconfig)
        self.namespace = namespace
        self.name = name

    def owns(self, found: Manifest) -> bool:
        """Tell whether an object is this sandbox's."""
        return (found["metadata"].get("labels") or {}).get(LABEL) == self.name

    def own(self, manifest: Manifest) -> dict[str, Any]:
        """Return the object in our namespace and with our label, whatever it says of its namespace."""
        metadata = dict(manifest["metadata"])
        labels = {**(metadata.get("labels") or {}), LABEL: self.name}
        return {**manifest, "metadata": {**metadata, "namespace": self.namespace, "labels": labels}}

    def apply(self, manifest: Manifest, *, say: Say = log.info) -> None:
        """Create or change an object of this sandbox. Raises NotOurs for one that is there without our label."""
        wanted = self.own(manifest)
        found = self.find(wanted)
        if found is not None and not self.owns(found):
            owner = (found["metadata"].get("labels") or {}).get(LABEL)
            raise NotOurs(
                f"{title(wanted)} is there already and is {f'the sandbox {owner!r}' if owner else 'another user'}'s",
                fix="give yours another name, or the sandbox another namespace: cluster: {namespace: …}",
            )
        super().apply(wanted, say=say)

    def find(self, manifest: Manifest) -> dict[str, Any] | None:
        """Return the object of that kind and name in our namespace, whatever its owner."""
        return self.get(manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"], self.namespace)

    def ours(self) -> list[dict[str, Any]]:
        """Return every object of this sandbox in the namespace, of whatever kind may be deleted."""
        with ThreadPoolExecutor(WIDTH) as pool:
            kinds = [of for found in pool.map(self._deletable, self.groups()) for of in found]
            listed = pool.map(self._labelled, kinds)
            return [one for found in listed for one in found if not one["metadata"].get("ownerReferences")]

    def _deletable(self, version: str) -> list[tuple[str, str]]:
        try:
            found = self.resources(version)
        except ClusterError:  # a server of its own, which is away
            return []
        usable = (one for one in found if one.namespaced and one.may("list", "delete"))
        return [(version, one.kind) for one in usable if one.kind not in DERIVED]

    def _labelled(self, of: tuple[str, str]) -> list[dict[str, Any]]:
        version, kind = of
        try:
            return self.list(version, kind, self.namespace, selector=f"{LABEL}={self.name}")
        except ClusterError as error:
            if error.status in (403, 404, 405):  # what we may not see we cannot have made
                return []
            raise


def counted(objects: Sequence[Manifest]) -> str:
    """Return how many there are of each kind, in words."""
    kinds = sorted(one["kind"] for one in objects)
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))


@dataclass(frozen=True)
class Place:
    """One sandbox's namespace; the kubeconfig that leads there is made by the step `cluster`."""

    names: Names
    namespace: str

    @property
    def cluster(self) -> Tenant:
        """Return the cluster as this sandbox may use it. Raises ClusterError while there is no kubeconfig."""
        return Tenant(self.names.kubeconfig, self.namespace, self.names.name)


def placed(
    manifests: Sequence[Manifest],
    *,
    namespaced: Mapping[tuple[str, str], bool],
    images: Mapping[str, str],
    pull_secret: str | None,
    ingress_class: str | None,
) -> list[dict[str, Any]]:
    """Return the manifests without their own namespaces, which are left out themselves.

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
            fix="have them installed by the administrator of the cluster, and take them out of `apply`",
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
    """Tell whether any of its images has another name there."""
    changed = False
    for container in (one for kind in CONTAINERS for one in pod.get(kind) or ()):
        here, slash, rest = str(container.get("image", "")).partition("/")
        if slash and here in images:
            container["image"] = f"{images[here]}/{rest}"
            changed = True
    return changed


def _pods(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the specs of the pods that an object makes or is."""
    if manifest["kind"] == "Pod":
        yield manifest.get("spec") or {}
        return
    spec = manifest.get("spec") or {}
    for holder in (spec, (spec.get("jobTemplate") or {}).get("spec") or {}):
        template = holder.get("template") if isinstance(holder, dict) else None
        if isinstance(template, dict) and isinstance(template.get("spec"), dict):
            yield template["spec"]
