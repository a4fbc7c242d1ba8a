"""One namespace of an existing cluster: only labelled objects are changed, and user manifests are adapted to it."""

import copy
import getpass
import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from sandbox.config import untyped
from sandbox.errors import UsageError
from sandbox.kube.api import Cluster, ClusterError, Manifest, Say, log, title
from sandbox.kube.manifests import INGRESS_CLASS
from sandbox.kube.pods import containers_in
from sandbox.kube.records import Records
from sandbox.names import LABEL, Names

# Controllers make these from our objects, with our labels; they are removed with those.
DERIVED = {"Endpoints", "EndpointSlice", "ReplicaSet", "ControllerRevision", "PodMetrics", "Event"}
WIDTH = 8


def user_at_host() -> str:
    """Return USER@HOST, for people to read; it proves nothing."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # an id without a name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


class NotOurs(ClusterError):
    """An object of that name exists already, without our label."""

    id = "not-ours"


class Tenant(Cluster):
    """One namespace of a cluster, where every object of the sandbox `name` carries its label."""

    def __init__(self, kubeconfig: Path, namespace: str, name: str) -> None:
        super().__init__(kubeconfig)
        self.namespace = namespace
        self.name = name

    def owns(self, live: Manifest) -> bool:
        return (live["metadata"].get("labels") or {}).get(LABEL) == self.name

    def own(self, manifest: Manifest) -> dict[str, Any]:
        metadata = dict(manifest["metadata"])
        labels = {**(metadata.get("labels") or {}), LABEL: self.name}
        return {**manifest, "metadata": {**metadata, "namespace": self.namespace, "labels": labels}}

    def apply(self, manifest: Manifest, *, say: Say = log.info) -> None:
        """Create or change an object of this sandbox. Raises NotOurs if it exists without our label."""
        ours = self.own(manifest)
        live = self.live(ours)
        if live is not None and not self.owns(live):
            owner = (live["metadata"].get("labels") or {}).get(LABEL)
            raise NotOurs(
                f"{title(ours)} is there already and is {f'the sandbox {owner!r}' if owner else 'another user'}'s",
                fix="give yours another name, or the sandbox another namespace: cluster: {namespace: …}",
            )
        super().apply(ours, say=say)

    def ours(self) -> list[dict[str, Any]]:
        """Return every object of this sandbox in the namespace, of any kind that can be deleted."""
        with ThreadPoolExecutor(WIDTH) as pool:
            objects = chain.from_iterable(pool.map(self._ours_of, self.groups()))
            return [live for live in objects if not live["metadata"].get("ownerReferences")]

    def _ours_of(self, version: str) -> list[dict[str, Any]]:
        try:
            kinds = self.resources(version)
        except ClusterError:  # a server of its own, which does not answer
            return []
        objects: list[dict[str, Any]] = []
        for kind in kinds:
            if not kind.namespaced or not kind.verbs >= {"list", "delete"} or kind.kind in DERIVED:
                continue
            try:
                objects += self.list(version, kind.kind, self.namespace, selector=f"{LABEL}={self.name}")
            except ClusterError as error:
                if error.status not in (403, 404, 405):  # what we may not read we cannot have created
                    raise
        return objects


def counted(objects: Sequence[Manifest]) -> str:
    kinds = Counter(live["kind"] for live in objects)
    return ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))


@dataclass(frozen=True)
class SandboxNamespace:
    names: Names
    namespace: str

    @property
    def cluster(self) -> Tenant:
        return Tenant(self.names.kubeconfig, self.namespace, self.names.name)

    def records(self) -> Records:
        labels = {LABEL: self.names.name}
        return Records(self.cluster, self.names, namespace=self.namespace, prefix="sandbox-", labels=labels)


def placed(
    manifests: Sequence[Manifest],
    *,
    namespaced: Mapping[tuple[str, str], bool],
    images: Mapping[str, str],
    pull_secret: str | None,
    ingress_class: str | None,
) -> list[dict[str, Any]]:
    """Return the manifests without namespaces: neither Namespace objects nor fields of that name.

    `namespaced` says of each (apiVersion, kind) whether it has a namespace, `images` maps prefixes of images to those
    in this cluster, and the pods get the `pull_secret`. Raises UsageError for objects of the whole cluster, and for two
    that would become one.
    """
    inner = [manifest for manifest in manifests if manifest["kind"] != "Namespace"]
    wide = [
        title(manifest) for manifest in inner if not namespaced.get((manifest["apiVersion"], manifest["kind"]), True)
    ]
    if wide:
        raise UsageError(
            "these objects are for the whole cluster, which is not the sandbox's",
            details="\n".join(wide),
            fix="have them installed by the administrator of the cluster, and take them out of `apply`; out of what a "
            "chart renders to, by its values (often `rbac: {create: false}`)",
        )
    seen: dict[tuple[str, str, str], str] = {}
    for manifest in inner:
        key = (manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"])
        if key in seen:
            raise UsageError(
                f"{seen[key]} and {title(manifest)} would be one object: everything goes to a single namespace",
                fix="give one of them another name",
            )
        seen[key] = title(manifest)
    return [_placed(manifest, images, pull_secret, ingress_class) for manifest in inner]


def _placed(manifest: Manifest, images: Mapping[str, str], pull_secret: str | None, of: str | None) -> dict[str, Any]:
    made = copy.deepcopy(dict(manifest))
    made["metadata"].pop("namespace", None)
    if made["kind"] == "Ingress" and of and isinstance(made.get("spec") or {}, dict):
        made["spec"] = {**(made.get("spec") or {}), "ingressClassName": of}
        (made["metadata"].get("annotations") or {}).pop(INGRESS_CLASS, None)
    template = ("spec", "template", "spec")
    paths = [("spec",)] if made["kind"] == "Pod" else [template, ("spec", "jobTemplate", *template)]
    for path in paths:
        pod = untyped.at(made, *path)  # in a user's file anything may be there
        is_ours = False
        for container in containers_in(pod):
            registry, slash, rest = str(container.get("image", "")).partition("/")
            if slash and registry in images:
                container["image"] = f"{images[registry]}/{rest}"
                is_ours = True
        if is_ours and pull_secret:
            secrets = pod.get("imagePullSecrets") or []
            if isinstance(secrets, list) and {"name": pull_secret} not in secrets:
                pod["imagePullSecrets"] = [*secrets, {"name": pull_secret}]
    return made
