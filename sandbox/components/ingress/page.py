"""The page that unknown hosts get: plain HTML with the hosts that `up` or `dev` saw last, without scripts.

A busybox next to Traefik serves it from a ConfigMap. The same ConfigMap tells Traefik which hosts it has to refuse
(status 421): those whose TLS is passed through, and those that never come here. The default certificate is good for
them as well, so browsers send their requests over HTTP/2 connections that they have to other hosts, until that status
makes them open another (RFC 9110, section 15.5.20).
"""

import html
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from string import Template
from typing import Any

from sandbox.components import content_hash
from sandbox.components.ingress import served_hosts
from sandbox.kube import readiness
from sandbox.kube.api import Cluster
from sandbox.names import SYSTEM_NAMESPACE, port_suffix
from sandbox.step import NothingToUndo, State, Status, Work
from sandbox.system import files

_TITLE = "404: no such host in"
HTTPD = "E404:/page/404.html\n"  # the served folder is empty, so every path is answered by this page


@dataclass(frozen=True, kw_only=True)
class Page:
    """The page of the sandbox `sandbox`, whose hosts are reached at `port` of this machine.

    It is in the ConfigMap `name` of `namespace`, with `files` for Traefik that do not change. The edge routes the hosts
    `elsewhere` out of the cluster. Where it is for one namespace alone, it is `within` that.
    """

    sandbox: str
    port: int
    files: Mapping[str, str] = field(default_factory=dict)
    elsewhere: tuple[str, ...] = ()
    within: str | None = None
    name: str = "page"

    def empty(self) -> dict[str, Any]:
        return self._manifest((), ())

    def manifest(self, cluster: Cluster) -> dict[str, Any]:
        ingresses = served_hosts.ingresses(cluster, self.within, with_routes=self.within is None)
        passed = [ingress for ingress in ingresses if served_hosts.is_passed_through(ingress)]
        passed += served_hosts.routes(cluster, ["TLSRoute"]) if self.within is None else []
        known = {*served_hosts.hosts_of([*ingresses, *passed]), *self.elsewhere}
        return self._manifest(known, {*served_hosts.hosts_of(passed), *self.elsewhere})

    def publish(self, cluster: Cluster) -> None:
        manifest = self.manifest(cluster)
        cluster.apply(manifest)
        readiness.refresh_pods(cluster, self.within or SYSTEM_NAMESPACE, content_hash.digest(manifest["data"]))

    def _manifest(self, known: Iterable[str], refused: Iterable[str]) -> dict[str, Any]:
        page = render(self.sandbox, known, port=self.port)
        # A dot is written [.]: no level of quoting takes anything from it.
        expression = "|".join(host.replace(".", "[.]") for host in sorted(refused))
        template = files.packaged(__package__, "misdirected.yaml")
        misdirected = template.replace("${hosts}", expression) if expression else ""
        data = {**self.files, "404.html": page, "httpd.conf": HTTPD, "misdirected.yaml": misdirected}
        metadata = {"name": self.name, "namespace": self.within or SYSTEM_NAMESPACE}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def render(name: str, hosts: Iterable[str], *, port: int) -> str:
    links = "".join(
        f'<li><a href="https://{html.escape(host)}{port_suffix(port)}/">{html.escape(host)}</a></li>\n'
        for host in sorted(hosts)
    )
    content = f"<ul>\n{links}</ul>" if links else "<p><code>sandbox up</code> has not seen any yet.</p>"
    template = Template(files.packaged(__package__, "page.html"))
    return template.substitute(title=_TITLE, name=html.escape(name), hosts=content)


def is_default(page: str) -> bool:
    """Tell whether a page, or the first kilobyte of one, is the page that unknown hosts get."""
    return f"<title>{_TITLE}" in page


@dataclass(frozen=True)
class PageStep(NothingToUndo):
    page: Page
    cluster: Callable[[], Cluster]
    requires: tuple[str, ...] = ("ingress",)
    after: tuple[str, ...] = ("addons", "charts", "apply")
    name: str = "page"
    title: str = "Page for unknown hosts"

    def check(self) -> Status:
        return Status(State.ABSENT if self._live(self.cluster()) is None else State.READY)

    def apply(self, work: Work) -> None:
        self.page.publish(self.cluster())

    def refresh(self) -> None:
        cluster = self.cluster()
        if (self._live(cluster) or {}).get("data") != self.page.manifest(cluster)["data"]:
            self.page.publish(cluster)

    def _live(self, cluster: Cluster) -> dict[str, Any] | None:
        return cluster.get("v1", "ConfigMap", self.page.name, self.page.within or SYSTEM_NAMESPACE)
