"""Reads Kubernetes manifests from files and folders and puts them in the order in which they can be applied."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from sandbox.config import text_file, yaml_text
from sandbox.errors import BadFile
from sandbox.system.files import is_dir, is_file

# Kinds that others refer to are applied first; everything else keeps the order of its files.
FIRST = ("Namespace", "CustomResourceDefinition", "StorageClass", "ServiceAccount", "Secret", "ConfigMap")
# Kinds that may refuse other objects until their own pods run are applied last.
LAST = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
SUFFIXES = {".yaml", ".yml", ".json"}
KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
OTHERS = (
    "below `apply`, name only files and folders of Kubernetes objects, a kustomization by its own folder, a chart as "
    "{chart: FOLDER}"
)

# The annotation that was an Ingress's class before networking.k8s.io/v1.
INGRESS_CLASS = "kubernetes.io/ingress.class"

# What Kubernetes' own types for metadata require (apimachinery, ObjectMeta).
_METADATA = {"name": str, "generateName": str, "namespace": str, "labels": dict, "annotations": dict}

# Kubernetes' own groups with a dot in their name (k8s.io/api); other groups are defined by what is installed.
OWN_GROUPS = frozenset(
    f"{name}.k8s.io"
    for name in (
        *("admissionregistration", "apiextensions", "apiregistration", "authentication", "rbac.authorization"),
        *("authorization", "certificates", "coordination", "discovery", "events", "flowcontrol.apiserver"),
        *("networking", "node", "resource", "scheduling", "storage"),
    )
)

Manifest = Mapping[str, Any]


def title(manifest: Manifest) -> str:
    """Return the name of an object for people: `Deployment demo/hello`."""
    metadata = manifest.get("metadata") or {}
    place = f"{metadata['namespace']}/" if metadata.get("namespace") else ""
    return f"{manifest.get('kind')} {place}{metadata.get('name')}"


def load(paths: Iterable[Path]) -> tuple[dict[str, Any], ...]:
    """Return every object in the files, and in the manifests of the folders, in an order to apply them in.

    Objects without a namespace stay without one. Raises BadFile naming file and line.
    """
    return ordered(manifest for path in paths for manifest in read(path))


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield every object of a file or folder, in the order of the files. Raises BadFile naming file and line."""
    for file in files(path):
        yield from parse(text_file.read(file, fix="see `apply` in sandbox.yaml"), origin=str(file))


def ordered(manifests: Iterable[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    def rank(manifest: Manifest) -> int:
        kind = manifest["kind"]
        return FIRST.index(kind) if kind in FIRST else len(FIRST) + (kind in LAST)

    return tuple(sorted(manifests, key=rank))


def parse(text: str, *, origin: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of one YAML stream; `origin` names it in errors. Raises BadFile naming file and line."""
    return (manifest for _, manifest in placed(text, origin=origin))


def placed(text: str, *, origin: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects of one YAML stream, each with `origin` and the line that its document begins at.

    An object with `generateName` gets a name that ends in a digest of its content, since an object has to have a name
    to be applied, again and again.
    """
    try:
        documents = yaml_text.placed_documents(text)
    except yaml.YAMLError as error:
        raise BadFile(f"{origin} is not valid YAML", details=str(error)) from error
    for line, content in documents:
        if content is not None:
            yield from ((f"{origin}:{line}", manifest) for manifest in _checked(content, f"{origin}:{line}"))


def _checked(content: Any, place: str) -> Iterator[dict[str, Any]]:
    if not isinstance(content, dict) or not all(isinstance(content.get(key), str) for key in ("apiVersion", "kind")):
        raise BadFile(f"{place}: not a Kubernetes object, which has apiVersion and kind", fix=OTHERS)
    version, kind, metadata = content["apiVersion"], content["kind"], content.get("metadata")
    named = isinstance(metadata, dict) and metadata.get("name")
    if kind.endswith("List") and isinstance(content.get("items") or [], list) and not named:
        for index, item in enumerate(content.get("items") or (), 1):
            # Items of a typed list, such as the API server sends, may omit apiVersion and kind.
            of = {} if kind == "List" else {"apiVersion": version, "kind": kind.removesuffix("List")}
            yield from _checked({**of, **item} if isinstance(item, dict) else item, f"{place}, item {index}")
        return
    if not isinstance(metadata, dict) or not (metadata.get("name") or metadata.get("generateName")):
        raise BadFile(
            f"{place}: this {kind} has no metadata.name", fix=f"give it one; if it is for no cluster: {OTHERS}"
        )
    for key, form in _METADATA.items():
        if not isinstance(metadata.get(key) or form(), form):
            raise BadFile(f"{place}: metadata.{key} of this {kind} is not {'text' if form is str else 'a mapping'}")
    yield content if metadata.get("name") else _named(content)


def _named(manifest: Manifest) -> dict[str, Any]:
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:8]
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "generateName"}
    return {**manifest, "metadata": {**metadata, "name": f"{manifest['metadata']['generateName']}{digest}"}}


def is_builtin(group: str) -> bool:
    """Return whether every cluster has the kinds of the API group: Kubernetes' own, most of which end in k8s.io."""
    return group in ("", "apps", "autoscaling", "batch", "extensions", "policy") or group in OWN_GROUPS


def defined(manifest: Manifest) -> tuple[str, str]:
    """Return the group and kind that the object defines, both empty if it is no CustomResourceDefinition."""
    spec = manifest.get("spec") if manifest["kind"] == "CustomResourceDefinition" else None
    names = spec.get("names") if isinstance(spec, dict) else None
    if not isinstance(spec, dict) or not isinstance(names, dict):  # the cluster reports another form
        return "", ""
    return str(spec.get("group")), str(names.get("kind"))


def ingress_hosts(ingress: Manifest) -> Iterator[str]:
    """Yield the hosts of an Ingress's rules, wildcards too; what has another form is left to the cluster to report."""
    spec = ingress.get("spec")
    rules = spec.get("rules") if isinstance(spec, Mapping) else None
    for rule in rules if isinstance(rules, list) else ():
        host = rule.get("host") if isinstance(rule, Mapping) else None
        if isinstance(host, str) and host:
            yield host


def identity(manifest: Manifest) -> tuple[str, ...]:
    metadata = manifest["metadata"]
    return manifest["apiVersion"], manifest["kind"], str(metadata.get("namespace", "default")), metadata["name"]


def kustomization(folder: Path) -> Path | None:
    return next((file for name in KUSTOMIZATIONS if is_file(file := folder / name)), None)


def files(path: Path) -> list[Path]:
    if is_dir(path):
        return sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES)
    return [path]


def namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def label_selector(labels: Mapping[str, str] | None) -> str:
    return ",".join(f"{key}={value}" for key, value in (labels or {}).items())


def pod_selector(workload: Manifest) -> str:
    return label_selector(((workload.get("spec") or {}).get("selector") or {}).get("matchLabels"))
