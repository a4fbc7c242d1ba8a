"""The objects of an addon: of its manifests and of its page, and the record of those that it made."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.components.addons.catalogue import Addon, Condition
from sandbox.errors import SandboxError
from sandbox.kube import manifests
from sandbox.kube.api import Cluster, title
from sandbox.kube.manifests import ingress_hosts, namespace
from sandbox.kube.records import ObjectKey, find_object, keys_from_json, keys_to_json

LABEL = "sandbox.dev/addon"
CLASS = "nginx"
_PLACEHOLDER = re.compile(r"\$\{([a-z][a-z0-9_]*)\}")
Objects = tuple[dict[str, Any], ...]


@dataclass(frozen=True, kw_only=True)
class Record:
    """An addon that was applied: who asked for it, the digest of its objects, and those that it created, in order.

    Objects that existed before the addon are not removed with it, so they are not among `objects`.
    """

    name: str
    source: str
    by: str
    digest: str
    objects: tuple[ObjectKey, ...]

    @property
    def title(self) -> str:
        return f"addon-{self.name}"

    def data(self) -> dict[str, str]:
        objects = keys_to_json(self.objects)
        return {"source": self.source, "by": self.by, "sha256": self.digest, "objects": objects}

    @classmethod
    def of(cls, name: str, data: Mapping[str, str]) -> Record:
        objects = keys_from_json(data["objects"])
        return cls(name=name, source=data["source"], by=data["by"], digest=data["sha256"], objects=objects)


def fill(content: Any, values: Mapping[str, str]) -> Any:
    """Replace each placeholder in `values`; others stay, since shells have them too."""
    match content:
        case str():
            return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), content)
        case Mapping():
            return {key: fill(value, values) for key, value in content.items()}
        case list() | tuple():
            return [fill(value, values) for value in content]
    return content


def used(content: Any) -> frozenset[str]:
    return frozenset(_PLACEHOLDER.findall(json.dumps(content, default=str)))


def objects_of(addon: Addon, host: str) -> Objects:
    """Return what is applied besides a chart: its namespace, the Ingress of its page at `host`, and the manifests."""
    about, objects = addon.about, manifests.load(addon.files)
    for manifest in objects:
        if manifest["kind"] != "Namespace":  # the API ignores it for other kinds that have none
            manifest["metadata"].setdefault("namespace", "default")
    if about.chart is None:
        return objects
    place = about.chart.namespace or addon.name
    if about.page is None:
        return (namespace(place), *objects)
    backend = {"service": {"name": about.page.service, "port": {"number": about.page.port}}}
    rule = {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    ingress = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": f"addon-{addon.name}", "namespace": place},
        "spec": {"ingressClassName": CLASS, "tls": [{"hosts": [host]}], "rules": [rule]},
    }
    return (namespace(place), ingress, *objects)


def require_free(cluster: Cluster, objects: Objects, created: Iterable[ObjectKey]) -> None:
    """Raise SandboxError where the host of an addon's page is another Ingress's, which would share its paths."""
    ingresses = [manifest for manifest in objects if manifest["kind"] == "Ingress"]
    own = set(map(ObjectKey.of, ingresses))
    hosts = {host for manifest in ingresses for host in ingress_hosts(manifest)}
    for live in cluster.list("networking.k8s.io/v1", "Ingress") if hosts else ():
        key = ObjectKey.of(live)
        taken = hosts.intersection(ingress_hosts(live))
        if key in own.intersection(created) or not (taken or key in own):
            continue
        raise SandboxError(
            f"{min(taken or hosts)} is a host of {title(live)} already",
            details=f"in the namespace {live['metadata']['namespace']}; nothing was changed",
            fix="give that Ingress another host, or delete it",
            id="domain-taken",
        )


def unmet(cluster: Cluster, conditions: Iterable[Condition]) -> Iterator[str]:
    for expected in conditions:
        key = ObjectKey(expected.apiVersion, expected.kind, expected.namespace, expected.name)
        status = (find_object(cluster, key) or {}).get("status") or {}
        states = {condition["type"]: condition for condition in status.get("conditions") or ()}
        state = states.get(expected.condition, {})
        if state.get("status") != "True":
            yield f"{key} is not {expected.condition}: {state.get('message', 'no message yet')}"
