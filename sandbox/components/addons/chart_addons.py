"""Addons that are Helm charts: the objects around the chart, and the interface of what installs the charts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from sandbox.components.addons.addon_objects import ObjectKey, Objects
from sandbox.components.addons.catalogue import Addon
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster, Say, title
from sandbox.kube.manifests import ingress_hosts, namespace
from sandbox.names import port_suffix
from sandbox.step import Status, Work

if TYPE_CHECKING:
    from sandbox.components.addons.addon_file import AddonChart

CLASS = "nginx"


@dataclass(frozen=True, kw_only=True)
class ChartUse:
    """The chart of an addon, with its values filled in, and the spec's values by their paths."""

    addon: str
    chart: AddonChart
    values: Mapping[str, Any]
    chosen: Mapping[str, str]

    @property
    def namespace(self) -> str:
        """Return the namespace of its release."""
        return self.chart.namespace or self.addon


class Charts(Protocol):
    """Installs the charts of addons in a cluster."""

    def check(self, use: ChartUse) -> Status:
        """Check the release and its pods."""

    def prepare(self, use: ChartUse, say: Say) -> tuple[ObjectKey, ...]:
        """Have the chart and its images in the registry; returns the kinds that it defines. Raises SandboxError."""

    def install(self, use: ChartUse, work: Work) -> None:
        """Install or upgrade the release, and wait. Raises SandboxError."""

    def uninstall(self, addon: str, say: Say) -> None:
        """Uninstall the addon's release, if `enable` made one. Raises SandboxError."""

    def size(self, addon: str) -> int | None:
        """Return the size of its images in bytes, None before they were fetched."""


def host(addon: str, domain: str) -> str:
    """Return the host of an addon's page."""
    return f"{addon}.{domain}"


def url(addon: str, values: Mapping[str, str]) -> str:
    """Return the URL of an addon's page; `values` are the sandbox's own placeholders."""
    port = int(values.get("https_port", "443"))
    return f"https://{host(addon, values.get('domain', ''))}{port_suffix(port)}"


def around(addon: Addon, domain: str) -> Objects:
    """Return the objects around an addon's chart: its namespace, and the Ingress of its page."""
    if addon.about.chart is None:
        return ()
    place = addon.about.chart.namespace or addon.name
    page = addon.about.page
    if page is None:
        return (namespace(place),)
    backend = {"service": {"name": page.service, "port": {"number": page.port}}}
    rule = {
        "host": host(addon.name, domain),
        "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
    }
    ingress = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": f"addon-{addon.name}", "namespace": place},
        "spec": {"ingressClassName": CLASS, "tls": [{"hosts": [rule["host"]]}], "rules": [rule]},
    }
    return (namespace(place), ingress)


def require_free(cluster: Cluster, objects: Objects, brought: Iterable[ObjectKey]) -> None:
    """Raise SandboxError where the host of an addon's page is another Ingress's, which would share its paths."""
    ours = {ObjectKey.of(one) for one in objects if one["kind"] == "Ingress"}
    hosts = {host for one in objects if one["kind"] == "Ingress" for host in ingress_hosts(one)}
    if not hosts:
        return
    for live in cluster.list("networking.k8s.io/v1", "Ingress"):
        there = ObjectKey.of(live)
        if there in ours & set(brought):
            continue
        taken = hosts.intersection(ingress_hosts(live))
        if taken or there in ours:
            name = min(taken or hosts)
            raise SandboxError(
                f"{name} is a host of {title(live)} already",
                details=f"in the namespace {live['metadata']['namespace']}; nothing was changed",
                fix="give that Ingress another host, or delete it",
                id="domain-taken",
            )
