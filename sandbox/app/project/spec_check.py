"""Checks a spec with all that it names: addons, images, manifests and charts. Needs neither an engine nor a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.app import context
from sandbox.app.project import spec_files
from sandbox.bundle import system_images
from sandbox.bundle.store import Store
from sandbox.components.addons import catalogue
from sandbox.components.ingress import deep_hosts, unserved
from sandbox.components.ingress.controller import CLASS
from sandbox.components.workloads import gone_kinds, image_names, user_manifests
from sandbox.components.workloads.chart_archives import ChartArchives, described
from sandbox.components.workloads.helm import Helm
from sandbox.components.workloads.image_names import ImageNames
from sandbox.config.schema import ResolvedRegistry, Spec
from sandbox.images import images_yaml
from sandbox.kube import manifests
from sandbox.kube.manifests import title
from sandbox.plan.cluster_steps import host_names


@dataclass(frozen=True)
class Checked:
    """How many addons, images and objects a valid spec names, of those that it may name, and what may not work."""

    counts: Mapping[str, int]
    notes: tuple[str, ...]


def check(spec: Spec) -> Checked:
    """Read every file that a spec names. Raises UsageError, with file, line and key, for a mistake in one of them."""
    if spec.cluster.supports.node_image:
        system_images.require_known(spec.cluster.kubernetes)
    spec_files.require(spec)
    spec_files.require_contexts(spec)
    spec_files.require_objects(spec)
    counts: dict[str, int] = {}
    if addons := catalogue.without_minikubes(spec):
        counts["addon"] = len(addons)
    if spec.push:
        counts["image"] = len(images_yaml.load(spec.push))
    objects, unseen = _objects(spec)
    hosts = host_names(spec)
    if spec.apply:
        counts["object"] = len(objects)
        if spec.cluster.supports.whole_cluster:
            gone_kinds.require(objects, spec.cluster.kubernetes)
    served = [*map(hosts.written, objects)]
    doubts = (*_undefined(spec, objects), *_unlisted(spec, objects), *_unserved(spec, served))
    return Checked(counts, (*unseen, *hosts.notes(objects), *doubts))


def host_notes(spec: Spec) -> tuple[str, ...]:
    """Return which hosts in what the spec applies get another domain, and which settings keep theirs."""
    hosts = host_names(spec)
    return tuple(hosts.notes(_objects(spec)[0])) if hosts.differ else ()


def _objects(spec: Spec) -> tuple[Sequence[dict[str, Any]], list[str]]:
    """Return the objects of manifests and charts, and a note for each chart that is not pulled yet."""
    if not spec.apply:
        return [], []
    store, archives = Store(context.home().bundle), ChartArchives(context.home().charts)
    charts = user_manifests.charts(spec.apply)
    objects = [*user_manifests.load(spec.apply, store)]
    for chart in filter(None, map(archives.find, charts)):
        objects += Helm.find(store).render(chart, whole=True)
    missing = archives.missing(charts)
    return objects, [f"not pulled yet, and not looked at: {described(chart)}" for chart in missing]


def _undefined(spec: Spec, objects: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield kinds that are neither Kubernetes' own, nor defined by the objects, nor brought by the sandbox."""
    brought = {
        "gateway.networking.k8s.io": (spec.ingress.gateway_api, "ingress: {gateway_api: true}"),
        "traefik.io": (spec.ingress.controller == "traefik", "ingress: {controller: traefik}"),
        "cert-manager.io": (spec.certs.issuer == "cert-manager", "certs: {issuer: cert-manager}"),
    }
    defined = set(map(manifests.defined, objects))
    kinds = {(each["apiVersion"].rpartition("/")[0], each["kind"]): each for each in reversed(objects)}
    for (group, kind), example in kinds.items():
        if manifests.is_builtin(group) or (group, kind) in defined:
            continue
        is_chosen, line = brought.get(group, (False, "")) if spec.cluster.supports.whole_cluster else (False, "")
        if not is_chosen:
            origin = f"comes with `{line}` in sandbox.yaml" if line else "must come from elsewhere, such as an addon"
            yield f"{title(example)}: the kind {kind} ({example['apiVersion']}) {origin}"


def _unlisted(spec: Spec, objects: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield images that only the sandbox's registry may have, and that no images.yaml pushes."""
    port = ResolvedRegistry().port if spec.registry.port == "auto" else spec.registry.port
    registry = ResolvedRegistry(port=port, external=spec.registry.external)
    names = ImageNames(prefix=registry.image_prefix, url="").with_images(spec.push)
    for image, user in names.unlisted(objects).items():
        yield f"{user}: nothing provides the image {image}; {image_names.advice([image], spec.push)}"


def _unserved(spec: Spec, objects: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield Ingresses for which the controller does nothing, and annotations that it ignores."""
    if spec.ingress.controller != "traefik" or not spec.cluster.supports.whole_cluster:
        return
    own = [each["metadata"]["name"] for each in objects if each["kind"] == "IngressClass"]
    yield from unserved.notes(
        [each for each in objects if each["kind"] == "Ingress" and isinstance(each.get("spec"), dict)],
        domain=spec.domain,
        hosts=[host.host for host in spec.edge.hosts],
        classes=(CLASS, *spec.ingress.classes, *own),
        tls=unserved.routed(spec),
        certifies=deep_hosts.are_certified(spec),
    )
