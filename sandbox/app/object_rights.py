"""Says of Kubernetes objects what they may do beyond a namespace of their own, for the user to agree to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sandbox.components.credentials.kept_secret import OURS
from sandbox.kube.pod_images import CONTAINERS, pod_spec

NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")
# What decides about, or answers for, objects of others.
DECIDING = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "MutatingAdmissionPolicy", "APIService")
AGGREGATED = "rbac.authorization.k8s.io/aggregate-to-"
PLACES = ("nodePath", "pathPattern")
ROLES = ("admin", "cluster-admin", "edit", "view")  # of every cluster, besides those that begin with `system:`


def lines(objects: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each object that may do such things."""
    for manifest in objects:
        if rights := ", ".join(_of(manifest)):
            yield f"{manifest['kind']} {manifest['metadata']['name']}: {rights}"


def _of(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the object may do; malformed objects are left to the API server."""
    try:
        yield from _of_cluster(manifest)
        yield from _of_pods(pod_spec(manifest))
    except (AttributeError, KeyError, TypeError):
        yield "of unknown form"


def _of_cluster(manifest: Mapping[str, Any]) -> Iterator[str]:
    kind, metadata = manifest["kind"], manifest["metadata"]
    name, namespace = metadata["name"], metadata.get("namespace", "default")
    if namespace in OURS:
        yield f"in the system's namespace {namespace}"
    match kind:
        case "ClusterRoleBinding":
            yield f"{manifest['roleRef']['name']} in the whole cluster"
        case "RoleBinding":  # with the right to make pods, an account has all that is said of pods here
            yield f"{manifest['roleRef']['name']} in the namespace {namespace}"
        case "ClusterRole":
            labels = metadata.get("labels") or ()
            roles = [key.removeprefix(AGGREGATED) for key in labels if key.startswith(AGGREGATED)]
            if name in ROLES or name.startswith("system:"):
                roles.append(name)
            if roles:
                yield f"changes the cluster's own {', '.join(roles)}"
        case "PersistentVolume":
            for source in ("hostPath", "local"):
                if path := manifest["spec"].get(source):
                    yield f"the node's {path.get('path')}"
        case "StorageClass":  # of local-path-provisioner, whose patterns may lead out of its folder
            parameters = manifest.get("parameters") or {}
            yield from (f"the node's {parameters[key]}" for key in PLACES if key in parameters)
    if kind in DECIDING:
        yield "decides about objects of the whole cluster"


def _of_pods(spec: Mapping[str, Any]) -> Iterator[str]:
    yield from (key for key in NAMESPACES if spec.get(key))
    for volume in spec.get("volumes") or ():
        if path := volume.get("hostPath"):
            yield f"the node's {path.get('path')}"
    for group in CONTAINERS:
        for container in spec.get(group) or ():
            context = container.get("securityContext") or {}
            if context.get("privileged"):
                yield "privileged"
            if added := (context.get("capabilities") or {}).get("add"):
                yield f"capabilities {', '.join(map(str, added))}"
