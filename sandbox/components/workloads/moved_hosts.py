"""Moves hosts below the domain that a project's manifests are written for to the sandbox's own domain.

Another checkout of the project has another domain: its Ingresses and routes are served there, as its images come from
its own registry. Environment variables, arguments and ConfigMaps may name such hosts too; they change only if the spec
says so.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sandbox.components.workloads.image_names import Slot, places
from sandbox.kube.api import Manifest, title
from sandbox.kube.pod_images import containers
from sandbox.names import moved_host

# The fields of hosts, by kind (networking.k8s.io, gateway.networking.k8s.io, traefik.io, cert-manager.io).
FIELDS = {
    "Ingress": ("spec.rules.host", "spec.tls.hosts"),
    "Certificate": ("spec.commonName", "spec.dnsNames"),
    "Gateway": ("spec.listeners.hostname",),
    "HTTPRoute": (
        "spec.hostnames",
        "spec.rules.filters.requestRedirect.hostname",
        "spec.rules.filters.urlRewrite.hostname",
    ),
    **dict.fromkeys(("GRPCRoute", "TLSRoute"), ("spec.hostnames",)),
    **dict.fromkeys(("IngressRoute", "IngressRouteTCP"), ("spec.routes.match",)),
}
SETTING = "rewrite_settings: true"


@dataclass(frozen=True)
class HostNames:
    """The domain `base` of the hosts in manifests, and the sandbox's `domain`; with `settings`, those change too."""

    base: str = ""
    domain: str = ""
    settings: bool = False

    @property
    def differ(self) -> bool:
        return self.base != self.domain

    def written(self, manifest: Manifest) -> dict[str, Any]:
        if not self.differ:
            return dict(manifest)
        made = copy.deepcopy(dict(manifest))
        settings = [slot for _, slot in _settings(made)] if self.settings else []
        for holder, key in (*_hosts(made), *settings):
            holder[key] = self._pattern.sub(lambda match: self._moved(match[0]), holder[key])
        return made

    def notes(self, objects: Iterable[Manifest]) -> Iterator[str]:
        """Yield each host of the objects that changes, with its new name, and each setting that keeps one."""
        for manifest in objects if self.differ else ():
            for host in self._changing(_hosts(manifest)):
                yield f"{title(manifest)}: {host} becomes {self._moved(host)}"
            for place, slot in _settings(manifest):
                for host in self._changing([slot]):
                    kept = f"stays; `{SETTING}` in sandbox.yaml changes it"
                    effect = f"becomes {self._moved(host)}" if self.settings else kept
                    yield f"{title(manifest)}, {place}: {host} {effect}"

    def _changing(self, slots: Iterable[Slot]) -> Iterator[str]:
        hosts = dict.fromkeys(host for holder, key in slots for host in self._pattern.findall(holder[key]))
        return (host for host in hosts if self._moved(host) != host)

    def _moved(self, host: str) -> str:
        return moved_host(host, self.base, self.domain)

    @property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(rf"(?<![\w*-])(?:[\w*-]+\.)*{re.escape(self.base)}(?![\w-]|\.\w)")


def _hosts(manifest: Manifest) -> Iterator[Slot]:
    for path in FIELDS.get(manifest["kind"], ()):
        yield from places(manifest, tuple(path.split(".")))
    if manifest["kind"] == "Ingress":  # its annotations have URLs, such as that of a login, and further hosts
        metadata = manifest.get("metadata")
        yield from _texts(metadata.get("annotations") if isinstance(metadata, dict) else None)


def _texts(mapping: Any) -> Iterator[Slot]:
    if isinstance(mapping, dict):
        yield from ((mapping, key) for key, value in mapping.items() if isinstance(value, str))


def _settings(manifest: Manifest) -> Iterator[tuple[str, Slot]]:
    for container in containers(manifest):
        variables = container.get("env")
        for variable in variables if isinstance(variables, list) else ():
            if isinstance(variable, dict) and isinstance(variable.get("value"), str):
                yield f"variable {variable.get('name')}", (variable, "value")
        yield from (("argument", slot) for key in ("command", "args") for slot in places(container, (key,)))
    if manifest["kind"] == "ConfigMap":
        yield from ((f"key {slot[1]}", slot) for slot in _texts(manifest.get("data")))
