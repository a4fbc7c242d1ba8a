"""Checks a spec with all that it names: files, addons, images, manifests, charts. Needs neither engine nor cluster."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sandbox.app import context
from sandbox.bundle import system_images
from sandbox.bundle.store import Store
from sandbox.components.addons import catalogue
from sandbox.components.ingress import unserved
from sandbox.components.ingress.served_hosts import CLASS
from sandbox.components.workloads import image_names, user_manifests
from sandbox.components.workloads.chart_archives import ChartArchives, described
from sandbox.components.workloads.helm import Helm
from sandbox.components.workloads.image_names import ImageNames
from sandbox.config import text_file, yaml_text
from sandbox.config.problems import dotted
from sandbox.config.schema import Chart, Kustomization, ResolvedRegistry, Spec
from sandbox.config.yaml_text import KeyPath
from sandbox.errors import BadFile, UsageError
from sandbox.images import images_yaml
from sandbox.images.images_yaml import FromBuild
from sandbox.kube import manifests
from sandbox.kube.manifests import Manifest, title
from sandbox.kube.pods import pod_images
from sandbox.oci import reference
from sandbox.plan.cluster_steps import host_names


def check(spec: Spec) -> tuple[Mapping[str, int], tuple[str, ...]]:
    """Read every file that a spec names. Raises UsageError, with file, line and key, for a mistake in one of them.

    Returns how many addons, images and objects it names, of those that it may name, and what may not work.
    """
    if spec.cluster.supports.node_image:
        system_images.require_known(spec.cluster.kubernetes)
    require_files(spec)
    _require_contexts(spec)
    _require_objects(spec)
    counts: dict[str, int] = {}
    if addons := catalogue.without_minikubes(spec):
        counts["addon"] = len(addons)
    if spec.push:
        counts["image"] = len(images_yaml.load(spec.push))
    objects, unseen = _objects(spec)
    hosts = host_names(spec)
    if spec.apply:
        counts["object"] = len(objects)
    served = [*map(hosts.written, objects)]
    doubts = (*_unlisted(spec, objects), *_unserved(spec, served))
    return counts, (*unseen, *hosts.notes(objects), *doubts)


def host_notes(spec: Spec) -> tuple[str, ...]:
    """Return which hosts in what the spec applies get another domain, and which settings keep theirs."""
    hosts = host_names(spec)
    return tuple(hosts.notes(_objects(spec)[0])) if hosts.differ else ()


def require_files(spec: Spec) -> None:
    """Raise BadFile for a file, folder or addon that the spec names and that does not exist."""
    for path, file in _files(spec):
        if not os.path.exists(file):  # noqa: PTH110  # a path of any length
            raise BadFile(
                f"{_place(spec, path)}: {_shown(file)} does not exist", fix=f"create it, or remove it from `{path[0]}`"
            )
    for index, use in enumerate(spec.addons):
        try:
            if not catalogue.is_minikubes(spec, use.addon):
                catalogue.find_addon(use.addon)
        except UsageError as error:
            place = _place(spec, ("addons", index))
            raise BadFile(f"{place}: {error.brief}", details=error.details, fix=error.fix) from error


def _files(spec: Spec) -> Iterator[tuple[KeyPath, Path]]:
    for index, item in enumerate(spec.apply):
        match item:
            case Path():
                yield ("apply", index), item
            case Kustomization(kustomize=folder):
                yield ("apply", index, "kustomize"), folder
            case Chart(chart=chart, values=values):
                yield ("apply", index, "chart"), chart
                yield from ((("apply", index, "values", number), file) for number, file in enumerate(values))
    if spec.push:
        yield ("push",), spec.push
    if spec.certs.default:
        yield ("certs", "default", "cert"), spec.certs.default.cert
        yield ("certs", "default", "key"), spec.certs.default.key
    if isinstance(spec.network.ca, Path):
        yield ("network", "ca"), spec.network.ca
    for index, account in enumerate(spec.credentials):
        if account.file:
            yield ("credentials", index, "file"), account.file


def _place(spec: Spec, path: KeyPath) -> str:
    where = spec.origin(*path)
    return f"{where}: {dotted(path)}" if ":" in where else dotted(path)  # FILE:LINE


def _shown(file: Path) -> str:
    relative = os.path.relpath(file)
    return str(file) if relative.startswith("..") else relative


def _require_contexts(spec: Spec) -> None:
    if spec.push is None:
        return
    _, places = yaml_text.spec_document(text_file.read(spec.push))
    for index, entry in enumerate(images_yaml.load(spec.push)):
        if isinstance(entry, FromBuild):
            file = entry.context / (entry.dockerfile or "Dockerfile")
            if missing := next((path for path in (entry.context, file) if not path.exists()), None):
                place = f"{_shown(spec.push)}:{places['images', index].line}: images[{index}]"
                raise BadFile(
                    f"{place}: {_shown(missing)} does not exist", fix="create it, or correct `context` and `dockerfile`"
                )


def _require_objects(spec: Spec) -> None:
    placed: list[tuple[str, Manifest]] = []
    for item in spec.apply:
        if isinstance(item, Path) and user_manifests.rendered(item) is None:
            for file in manifests.files(item):
                placed += manifests.placed(text_file.read(file), origin=_shown(file))
    for place, each in placed:
        for image in pod_images(each):
            try:
                reference.parse(image)
            except UsageError as error:
                raise BadFile(f"{place}: {title(each)}: {error.brief}", details=error.details, fix=error.fix) from error


def _objects(spec: Spec) -> tuple[Sequence[Manifest], list[str]]:
    if not spec.apply:
        return [], []
    store, archives = Store(context.home().bundle), ChartArchives(context.home().charts)
    charts = user_manifests.charts(spec.apply)
    objects = [*user_manifests.load(spec.apply, store)]
    for chart in filter(None, map(archives.find, charts)):
        objects += Helm.find(store).render(chart, whole=True)
    missing = archives.missing(charts)
    return objects, [f"not pulled yet, and not looked at: {described(chart)}" for chart in missing]


def _unlisted(spec: Spec, objects: Sequence[Manifest]) -> Iterator[str]:
    port = ResolvedRegistry().port if spec.registry.port == "auto" else spec.registry.port
    registry = ResolvedRegistry(port=port, external=spec.registry.external)
    names = ImageNames(prefix=registry.image_prefix, url="").with_images(spec.push)
    for image, user in names.unlisted(objects).items():
        yield f"{user}: nothing provides the image {image}; {image_names.advice([image], spec.push)}"


def _unserved(spec: Spec, objects: Sequence[Manifest]) -> Iterator[str]:
    if spec.cluster.supports.whole_cluster:
        own = [each["metadata"]["name"] for each in objects if each["kind"] == "IngressClass"]
        ingresses = [each for each in objects if each["kind"] == "Ingress" and isinstance(each.get("spec"), dict)]
        yield from unserved.notes(spec, ingresses, (CLASS, *spec.ingress.classes, *own))
