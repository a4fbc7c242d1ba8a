"""Lists what a project's spec asks for beyond the project's own folder, for the user to agree to."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sandbox.app import context, object_rights
from sandbox.bundle.store import Store
from sandbox.components.addons import addon_objects, catalogue
from sandbox.components.addons.catalogue import ChosenAddon, WantedAddon
from sandbox.components.workloads import charts_step, user_manifests
from sandbox.components.workloads.chart_archives import ChartArchives
from sandbox.components.workloads.chart_dependencies import parts, remote
from sandbox.components.workloads.helm import Helm
from sandbox.components.workloads.kustomization import reads
from sandbox.config.schema import Spec
from sandbox.config.schema.apply_schema import AnyChart, Chart, Item
from sandbox.config.schema.apply_schema import paths as applied
from sandbox.config.schema.credentials_schema import Acr, Docker, Ecr
from sandbox.config.schema.edge_schema import UdpPort
from sandbox.images import images_yaml
from sandbox.images.images_yaml import FromArchive, FromBuild, FromDaemon, FromLayout, FromRegistry
from sandbox.sanitize import fit
from sandbox.system.files import is_inside

Demand = tuple[str, str]
"""What kind of thing it is, and the thing in words."""


def beyond(spec: Spec, root: Path) -> tuple[str, ...]:
    """Return a line for each thing; `root` is the folder of the project. Raises UsageError for what cannot be read."""
    addons = [one.addon for one in spec.addons if "/" in one.addon]
    found = (
        *_cluster(spec, root),
        *_accounts(spec),
        *_registry(spec, root),
        *_edge(spec),
        *_network(spec, root),
        *_certificates(spec),
        *_images(spec, root),
        *_files((*applied(spec.apply), *map(Path, addons)), root),
        *_kustomizations(spec, root),
        *_charts(spec, root),
        *(("rights", line) for line in object_rights.lines(_objects(spec, root))),
    )
    lines = (f"{what:<12} {words}" for what, words in found)
    return tuple(dict.fromkeys(fit(line).replace("\n", " ") for line in lines))


def unasked(spec: Spec) -> Spec:
    """Return the spec without what sends something to others when it is checked: accounts, and what is fetched."""
    apply = tuple(one for one in spec.apply if not _fetches(one))
    return spec.model_copy(update={"credentials": (), "apply": apply})


def _cluster(spec: Spec, root: Path) -> Iterator[Demand]:
    cluster = spec.cluster
    if not cluster.supports.whole_cluster:
        yield "cluster", f"the existing one of your context {cluster.context}, namespace {spec.namespace}"
    if cluster.profile:
        yield "cluster", f"your minikube profile {cluster.profile}"
    if cluster.kind:
        yield "nodes", "settings of kind's, kubeadm's or containerd's own (cluster.kind)"
    for mount in cluster.mounts:
        if place := _elsewhere(mount.host, root):
            rights = "to read" if mount.read_only else "to read and write, as root"
            yield "mount", f"{place} in every node at {mount.node}, {rights}"


def _accounts(spec: Spec) -> Iterator[Demand]:
    for entry in spec.credentials:
        source = f"of {entry.file}" if entry.file else "that this machine has"
        if entry.file and isinstance(entry, Docker):
            source += " and of the credential helpers that it names"
        hosts = [entry.registry] if isinstance(entry, Acr) else [] if isinstance(entry, Ecr) else entry.registries
        at = f" at {', '.join(hosts)}" if hosts else ""
        to = "all namespaces" if entry.namespaces == "all" else ", ".join(entry.namespaces)
        yield "accounts", f"the {entry.kind} accounts {source}{at}, for pods of {to}"
    for one in spec.registry.mirrors:
        yield "registry", f"images of {one} come through a mirror, for every pod (registry.mirrors)"


def _registry(spec: Spec, root: Path) -> Iterator[Demand]:
    if spec.registry.external:
        yield "registry", f"images are pushed to {spec.registry.external}"
    if spec.registry.storage and (place := _elsewhere(spec.registry.storage, root)):
        yield "folder", f"{place} for the registry's data"


def _edge(spec: Spec) -> Iterator[Demand]:
    if not ipaddress.ip_address(spec.edge.listen).is_loopback:
        yield "network", f"listens on {spec.edge.listen}, where other machines reach it"
    if spec.ingress.address:
        yield "network", f"the edge's ports route to {spec.ingress.address}"
    for host in spec.edge.hosts:
        if host.to:
            yield "network", f"{host.host} routes to {host.to}"
    for one in (*spec.edge.tcp, *spec.edge.udp):
        kind = "UDP port" if isinstance(one, UdpPort) else "port"
        which = f"a free {kind}" if one.port == "auto" else f"{kind} {one.port}"
        yield "network", f"{which} of this machine is routed to {one.target}"
    for tls in spec.edge.tls:
        yield "network", f"TLS for {tls.host} is routed to {tls.to}"


def _network(spec: Spec, root: Path) -> Iterator[Demand]:
    for name, address in spec.network.hosts.items():
        yield "network", f"pods resolve {name} to {address}"
    if spec.network.nameservers != "auto":
        yield "network", f"pods ask the nameservers {', '.join(spec.network.nameservers)}"
    if spec.network.search:
        yield "network", f"pods try the domains {', '.join(spec.network.search)} for short names"
    if spec.network.proxy != "auto":
        for url in dict.fromkeys(filter(None, (spec.network.proxy.http, spec.network.proxy.https))):
            yield "network", f"images and pods go through the proxy {url}"
    if isinstance(spec.network.ca, Path):
        yield "certificates", f"nodes and mirrors trust the CA in {os.path.relpath(spec.network.ca, root)}"
        yield from _files([spec.network.ca], root)


def _certificates(spec: Spec) -> Iterator[Demand]:
    for domain in spec.vouched:
        if not domain.endswith(".localhost"):
            yield "certificates", f"for *.{domain}"
    if spec.certs.default:
        yield "certificates", f"{spec.certs.default.cert} and the key {spec.certs.default.key}"


def _images(spec: Spec, root: Path) -> Iterator[Demand]:
    for host, mirror in spec.images.mirrors.items():
        yield "images", f"those of {host} that the sandbox and its addons need come from {mirror}"
    if spec.push is None:
        return
    yield from _files([spec.push], root)
    if _elsewhere(spec.push, root):  # of another file, an error would show lines
        yield "images", "which ones is not known before you agree"
        return
    hosts: set[str] = set()
    for entry in images_yaml.load(spec.push):
        match entry:
            case FromDaemon():
                yield "image", f"{entry.image} of your Docker Engine"
            case FromBuild():
                place = _elsewhere(entry.context, root) or os.path.relpath(entry.context, root)
                yield "build", f"the Dockerfile of {place}, whose commands run here"
                yield from _files([entry.context / (entry.dockerfile or "Dockerfile")], root)
                given = ("secret", entry.secrets), ("SSH agent or key", entry.ssh)
                caches = ("cache", entry.cache_from), ("cache", entry.cache_to)
                for what, values in (*given, *caches):
                    yield from (("build", f"{place} gets the {what} {value}") for value in values)
            case FromArchive() | FromLayout():
                yield from _files([entry.path], root)
            case FromRegistry():
                hosts.add(entry.image.host)
    if hosts:
        yield "images", f"pulled with your `docker login`, if there is one: {', '.join(sorted(hosts))}"


def _kustomizations(spec: Spec, root: Path) -> Iterator[Demand]:
    for source in filter(None, map(user_manifests.rendered, spec.apply)):
        found = reads(source.kustomize)
        for path in found.local:
            if place := _elsewhere(path, root):
                yield "files", f"reads {place}"
        yield from (("fetches", f"{url} and applies what it gets") for url in found.fetched)


def _charts(spec: Spec, root: Path) -> Iterator[Demand]:
    archives = ChartArchives(context.home().charts)
    charts = user_manifests.charts(spec.apply)
    for chart in charts:
        yield from _files(_parts(chart), root)
        if _leads_out(chart, root):
            yield _unknown(chart.name, "you agree, for it reads other files")
        elif archives.find(chart) is not None:  # its templates see the cluster, and the time
            yield "rights", f"what {chart.name} may do can be more in a cluster than what is listed here"
    for chart in remote(charts):
        yield _pulled(chart.source, chart.version)
        if archives.find(chart) is None:
            yield _unknown(chart.name)
        if place := _elsewhere(chart.lock, root):
            yield "files", f"writes {place}"
    for chosen in _addons(spec):
        if of_addon := chosen.addon.about.chart:
            yield _pulled(of_addon.source, of_addon.version)
            yield _unknown(chosen.addon.name)


def _addons(spec: Spec) -> tuple[ChosenAddon, ...]:
    """Return the sandbox's addons and the project's own, with those that they need."""
    uses = (WantedAddon(one.addon, one.values) for one in spec.addons)
    return catalogue.choose((one for one in uses if not catalogue.is_minikubes(spec, one.source)), ())


def _pulled(source: str, version: str) -> Demand:
    return "chart", f"{source} {version}, pulled with your login, if there is one"


def _unknown(chart: str, until: str = "it is pulled") -> Demand:
    return "rights", f"what {chart} may do is not known before {until}"


def _leads_out(chart: AnyChart, root: Path) -> bool:
    """Tell whether helm would read, and keep in memory, what is outside the project, such as all of a home folder."""
    return isinstance(chart, Chart) and any(_files((*_parts(chart), *chart.values), root))


def _parts(chart: AnyChart) -> tuple[Path, ...]:
    """Return the folders that helm reads of a chart of the project."""
    return tuple(folder for _, folder in parts(chart.chart)) if isinstance(chart, Chart) else ()


def _fetches(item: Item) -> bool:
    """Tell whether the item is a kustomization that fetches anything."""
    source = user_manifests.rendered(item)
    return source is not None and bool(reads(source.kustomize).fetched)


def _objects(spec: Spec, root: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of manifests, of the project's addons and of charts that are there; fetches nothing."""
    store = Store(context.home().bundle)
    yield from user_manifests.load((one for one in spec.apply if not _fetches(one)), store)
    for one in _addons(spec):
        if "/" in one.source:
            values = {"sandbox": spec.name, "domain": spec.domain, **one.placeholders}
            yield from addon_objects.filled(addon_objects.load(one), values)
    archives = ChartArchives(context.home().charts)
    for chart in user_manifests.charts(spec.apply):
        if not _leads_out(chart, root) and (local := archives.find(chart)):
            yield from (charts_step.placed(one, local) for one in Helm.find(store).render(local))


def _files(paths: Iterable[Path], root: Path) -> Iterator[Demand]:
    """Yield the files and folders that lie outside the project, and links in them that lead outside."""
    for path in paths:
        if place := _elsewhere(path, root):
            yield "files", f"reads {place}"
        elif path.is_dir():
            for link in sorted(path.rglob("*")):
                if link.is_symlink() and not is_inside(root, link):
                    yield "link", f"{os.path.relpath(link, root)} links to {os.path.realpath(link)}"


def _elsewhere(path: Path, root: Path) -> str | None:
    """Return the path's target if it is outside the project."""
    return None if is_inside(root, path) else os.path.realpath(path)
