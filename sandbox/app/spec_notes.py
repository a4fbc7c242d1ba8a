"""Warns of what may not work in a valid spec: duplicates, unknown kinds and images, what is not served or enforced."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sandbox.bundle.recipe import recipes
from sandbox.bundle.system_images import IN_PODS, PREFIX
from sandbox.components.ingress import deep_hosts, unserved
from sandbox.components.ingress.controller import CLASS
from sandbox.components.workloads import image_names
from sandbox.components.workloads.image_names import ImageNames
from sandbox.config.schema import ResolvedRegistry, Spec
from sandbox.images import images_yaml
from sandbox.images.images_yaml import FromArchive, FromLayout
from sandbox.kube import manifests
from sandbox.kube.manifests import title

STANDARD = "standard"  # the StorageClass of kind and minikube


def notes(spec: Spec, objects: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield a line for each warning about the spec and the objects that it applies."""
    yield from _twice(objects)
    yield from _kindless(spec, objects)
    yield from _classless(spec, objects)
    yield from _absent(spec)
    yield from _unlisted(spec, objects)
    yield from _unserved(spec, objects)


def _twice(objects: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield objects that are given twice, of which the last one counts."""
    seen: set[tuple[Any, ...]] = set()
    for one in objects:
        key = manifests.identity(one)
        if key in seen:
            yield f"{title(one)} is given twice; the last one counts"
        seen.add(key)


def _kindless(spec: Spec, objects: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield kinds that are neither Kubernetes' own, nor defined by the objects, nor brought by the sandbox."""
    defined, brings = set(map(manifests.defined, objects)), _brings(spec)
    wanted = {(one["apiVersion"].rpartition("/")[0], one["kind"]): one for one in reversed(objects)}
    for (group, kind), one in wanted.items():
        if manifests.is_builtin(group) or (group, kind) in defined:
            continue
        chosen, line = brings.get(group, (False, ""))
        if not chosen:
            whence = (
                f"comes with `{line}` in sandbox.yaml" if line else "must come from elsewhere, for example an addon"
            )
            yield f"{title(one)}: the kind {kind} ({one['apiVersion']}) {whence}"


def _brings(spec: Spec) -> Mapping[str, tuple[bool, str]]:
    """Return the groups of kinds that the sandbox can bring: whether the spec chooses that, and the line that does."""
    if not spec.cluster.supports.whole_cluster:
        return {}
    return {
        "gateway.networking.k8s.io": (spec.ingress.gateway_api, "ingress: {gateway_api: true}"),
        "traefik.io": (spec.ingress.controller == "traefik", "ingress: {controller: traefik}"),
        "cert-manager.io": (spec.certs.issuer == "cert-manager", "certs: {issuer: cert-manager}"),
    }


def _classless(spec: Spec, objects: Sequence[dict[str, Any]]) -> Iterator[str]:
    if not spec.cluster.supports.whole_cluster:
        return
    known = {STANDARD, "", None}
    known |= {one["metadata"]["name"] for one in objects if one["kind"] == "StorageClass"}
    known |= {name for one in objects if one["kind"] == "PersistentVolume" for name in _classes(one)}
    for one in objects:
        for name in dict.fromkeys(_classes(one)):
            if one["kind"] in ("PersistentVolumeClaim", "StatefulSet") and name not in known:
                yield f"{title(one)}: there is no StorageClass {name}: leave storageClassName out, or add it to `apply`"


def _classes(one: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the StorageClasses of a volume, a claim, or the claims of a StatefulSet."""
    spec = one.get("spec")
    templates = spec.get("volumeClaimTemplates") if isinstance(spec, dict) else None
    specs = [spec, *(each.get("spec") for each in templates or () if isinstance(each, dict))]
    yield from (
        str(each["storageClassName"]) for each in specs if isinstance(each, dict) and "storageClassName" in each
    )


def _absent(spec: Spec) -> Iterator[str]:
    """Yield archives and layouts that images.yaml names, and that something else may yet write."""
    for entry in images_yaml.load(spec.push) if spec.push else ():
        if isinstance(entry, FromArchive | FromLayout) and not entry.path.exists():
            yield f"{entry.target}: {entry.path} does not exist yet"


def _unserved(spec: Spec, objects: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield Ingresses for which the controller does nothing, and annotations that it ignores."""
    if spec.ingress.controller != "traefik" or not spec.cluster.supports.whole_cluster:
        return
    own = [one["metadata"]["name"] for one in objects if one["kind"] == "IngressClass"]
    yield from unserved.notes(
        [one for one in objects if one["kind"] == "Ingress" and isinstance(one.get("spec"), dict)],
        domain=spec.domain,
        hosts=[one.host for one in spec.edge.hosts],
        classes=(CLASS, *spec.ingress.classes, *own),
        tls=unserved.routed(spec),
        certifies=deep_hosts.are_certified(spec),
    )


def _unlisted(spec: Spec, objects: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield images that only the sandbox's registry or the bundle may have, and that no images.yaml pushes."""
    usual = ResolvedRegistry().port
    port = usual if spec.registry.port == "auto" else spec.registry.port
    registry = ResolvedRegistry(port=port, external=spec.registry.external)
    names = ImageNames(prefix=registry.image_prefix, url="").with_images(spec.push)
    for image, user in names.unlisted(objects).items():
        yield f"{user}: nothing provides the image {image}; {image_names.advice([image], spec.push)}"
    known = names.connected(objects)
    wanted = {
        image: title(one)
        for one in reversed(objects)
        for holder, key in image_names.slots(one, names.fields)
        if (image := str(holder[key])).startswith(PREFIX) and image not in known
    }
    for image, user in wanted.items():
        if image not in [recipes()[name].reference for name in IN_PODS]:  # which nodes have
            yield f"{user}: no registry has the image {image}; {_bundled(image)}"


def _bundled(image: str) -> str:
    name = image.removeprefix(PREFIX).partition(":")[0]
    has = {one.base or one.name for one in recipes().values() if one.image}
    if name not in has:
        near = difflib.get_close_matches(name, has, 1)
        return f"did you mean {PREFIX}{near[0]}?" if near else "nor has the bundle"
    return f"add to images.yaml: - {{from: daemon, image: {image}, as: {name}}}"
