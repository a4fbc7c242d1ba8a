"""The page that unknown hosts get: plain HTML, no scripts, with a list of the hosts that exist."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.components.ingress import controller
from sandbox.kube import readiness
from sandbox.kube.api import Cluster
from sandbox.kube.manifests import ingress_hosts
from sandbox.names import SYSTEM_NAMESPACE, Names, port_suffix
from sandbox.step import NothingToUndo, State, Status, Work

_PLAIN = re.compile(r"/[\w./~%-]*")
_TITLE = "404: no such host in"


def hosts_of(ingresses: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the host names of Ingress objects, sorted, each once; wildcards are not links and are left out."""
    return tuple(sorted({host for one in ingresses for host in ingress_hosts(one) if "*" not in host}))


def paths_of(ingresses: Iterable[Mapping[str, Any]]) -> Mapping[str, str]:
    """Return a path for a link to each host: `/` where it is served, empty where all paths are regular expressions."""
    found: dict[str, set[str]] = {}
    for one in ingresses:
        spec = one.get("spec") or {}
        for rule in spec.get("rules") or ():
            paths = {each.get("path") or "/" for each in (rule.get("http") or {}).get("paths") or ()}
            also = {"/"} if not paths or spec.get("defaultBackend") else set()
            found.setdefault(str(rule.get("host")), set()).update(paths | also)
    return {host: min(filter(_PLAIN.fullmatch, paths), key=len, default="") for host, paths in found.items()}


def hosts_of_secrets(ingresses: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return the hosts for which Ingresses name a Secret with their certificate."""
    secrets = (each for one in ingresses for each in _secrets(one))
    return frozenset(host for each in secrets for host in each.get("hosts") or ())


def has_own_certificate(ingress: Mapping[str, Any]) -> bool:
    """Return whether the Ingress names a TLS Secret, or its TLS is passed through to the application."""
    passed = ((ingress.get("metadata") or {}).get("annotations") or {}).get(controller.PASSTHROUGH) == "true"
    return passed or bool(_secrets(ingress))


def _secrets(ingress: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [each for each in (ingress.get("spec") or {}).get("tls") or () if each.get("secretName")]


def hosts_set_apart(ingresses: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return the hosts that may have a certificate of their own, or that the controller treats in a special way."""
    found = set[str]()
    for one in ingresses:
        annotations = (one.get("metadata") or {}).get("annotations") or {}
        found |= hosts_of_secrets([one])
        if any("ingress.kubernetes.io/" in name for name in annotations) or not all(
            each.get("hosts") for each in _secrets(one)
        ):
            found |= set(hosts_of([one]))
    return frozenset(found)


def parts(name: str) -> Mapping[str, str]:
    """Return the sandbox's page in pieces: head.html, then list.html with its items or none.html, then foot.html.

    Where the list follows the cluster, page.sh puts them together; elsewhere `render` does.
    """
    filled = controller.template_text("page.html").replace("${title}", _TITLE).replace("${name}", html.escape(name))
    pieces = filled.split("<!--cut-->\n")
    return dict(zip(("head.html", "list.html", "none.html", "foot.html"), pieces, strict=True))


def render(name: str, hosts: Iterable[str], *, port: int) -> str:
    """Return the page for the sandbox `name`, whose hosts are reached at `port` of this machine."""
    piece = parts(name)
    links = "".join(
        f'<li><a href="https://{html.escape(host)}{port_suffix(port)}/">{html.escape(host)}</a></li>\n'
        for host in sorted(hosts)
    )
    known = piece["list.html"] + links + "</ul>\n" if links else piece["none.html"]
    return piece["head.html"] + known + piece["foot.html"]


def is_default(page: str) -> bool:
    """Tell whether a page, or its beginning, is the page that unknown hosts get."""
    return f"<title>{_TITLE}" in page


def manifest(page: str) -> dict[str, Any]:
    """Return the ConfigMap that the default backend serves the page from."""
    data = {"404.html": page, "httpd.conf": "E404:/site/404.html\n"}
    metadata = {"name": "default-backend", "namespace": SYSTEM_NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


@dataclass(frozen=True)
class PageStep(NothingToUndo):
    """The default backend's page, made from the Ingresses in the cluster; it goes with the cluster."""

    names: Names
    port: int
    requires: tuple[str, ...]
    name: str = "page"
    title: str = "Page for unknown hosts"

    def check(self) -> Status:
        cluster = Cluster(self.names.kubeconfig)
        found = cluster.get("v1", "ConfigMap", "default-backend", SYSTEM_NAMESPACE)
        wanted = self._manifest(cluster)
        if (found or {}).get("data") != wanted["data"]:
            return Status(State.DRIFTED if found else State.ABSENT, "lists other hosts")
        return Status(State.READY)

    def apply(self, work: Work) -> None:
        cluster = Cluster(self.names.kubeconfig)
        wanted = self._manifest(cluster)
        cluster.apply(wanted)
        mark = hashlib.sha256(wanted["data"]["404.html"].encode()).hexdigest()[:16]
        readiness.refresh_pods(cluster, SYSTEM_NAMESPACE, mark)

    def _manifest(self, cluster: Cluster) -> Mapping[str, Any]:
        hosts = hosts_of(cluster.list("networking.k8s.io/v1", "Ingress"))
        return manifest(render(self.names.name, hosts, port=self.port))
