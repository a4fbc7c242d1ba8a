"""The objects of an addon's manifests, the record of those it made, and the images of the bundle that they run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.bundle import machine_node, published
from sandbox.bundle.recipe import Recipe, recipes
from sandbox.bundle.store import Store
from sandbox.components.addons.catalogue import ChosenAddon, Condition
from sandbox.engine import Engine
from sandbox.errors import SandboxError, UsageError
from sandbox.kube import manifests, object_keys
from sandbox.kube.api import Cluster, Say, title
from sandbox.kube.deletion import is_leaving
from sandbox.kube.object_keys import ObjectKey
from sandbox.kube.workload_status import LEAVING, WORKLOADS, progress
from sandbox.names import Names
from sandbox.provider import Provider

LABEL = "sandbox.dev/addon"
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
        objects = object_keys.to_json(self.objects)
        return {"source": self.source, "by": self.by, "sha256": self.digest, "objects": objects}

    @classmethod
    def of(cls, name: str, data: Mapping[str, str]) -> Record:
        objects = object_keys.from_json(data["objects"])
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


def load(chosen: ChosenAddon) -> Objects:
    objects = manifests.load(chosen.addon.files)
    for manifest in objects:
        if manifest["kind"] != "Namespace":  # the API ignores it for other kinds that have none
            manifest["metadata"].setdefault("namespace", "default")
    return tuple(objects)


def lacking(cluster: Cluster, objects: Objects, conditions: Iterable[Condition]) -> Iterator[str]:
    """Yield what the objects still lack to be ready. Raises ClusterError when a workload cannot become ready."""
    for manifest in objects:
        live = cluster.live(manifest)
        if live is None:
            yield f"{title(manifest)} is gone"
        elif is_leaving(live):
            yield f"{title(manifest)} {LEAVING}"
        elif manifest["kind"] in WORKLOADS and (pending := progress(live)):
            yield f"{title(manifest)}: {pending}"
    yield from unmet(cluster, conditions)


def unmet(cluster: Cluster, conditions: Iterable[Condition]) -> Iterator[str]:
    for expected in conditions:
        key = ObjectKey(expected.apiVersion, expected.kind, expected.namespace, expected.name)
        status = (object_keys.find(cluster, key) or {}).get("status") or {}
        states = {condition["type"]: condition for condition in status.get("conditions") or ()}
        state = states.get(expected.condition, {})
        if state.get("status") != "True":
            yield f"{key} is not {expected.condition}: {state.get('message', 'no message yet')}"


@dataclass(frozen=True, kw_only=True)
class AddonImages:
    """The places from which components come: `pulled` are published images, by digest, of those the bundle lacks."""

    engine: Engine
    sandbox: Names
    provider: Provider
    store: Store
    pulled: Mapping[str, str] = field(default_factory=dict)

    def supply(self, addon: str, components: Iterable[str], say: Say = lambda _: None) -> None:
        """Load the components into nodes that lack them. Raises SandboxError."""
        missing = [self._recipe(name) for name in components if not self._on_nodes(self.reference(name))]
        for recipe in missing:
            if recipe.name not in self.pulled and not self.store.has(recipe):
                raise SandboxError(
                    f"the addon '{addon}' needs {recipe.name}, which the bundle lacks",
                    fix=f"{published.BUILD} {recipe.name}",
                    id="no-bundle",
                )
        for recipe in missing:
            if self.store.has(recipe):
                self.provider.load(self.store.image(recipe))
                continue
            build, reference = f"{published.BUILD} {recipe.name}", self.pulled[recipe.name]
            name = published.fetch(self.engine, recipe.name, reference, say, build)
            with machine_node.saved(self.engine, name) as archive:
                self.provider.load(archive)

    def reference(self, component: str) -> str:
        recipe = self._recipe(component)
        if recipe.name in self.pulled and not self.store.has(recipe):
            return published.local_name(recipe.name, self.pulled[recipe.name])
        return recipe.reference

    def _on_nodes(self, image: str) -> bool:
        nodes, argv = self.provider.nodes, ["crictl", "inspecti", "--quiet", image]
        return all(nodes.engine.execute(node, argv)[0] == 0 for node in nodes.running())

    @staticmethod
    def _recipe(component: str) -> Recipe:
        recipe = recipes().get(component)
        if recipe is None or recipe.image is None:
            names = ", ".join(name for name, other in recipes().items() if other.image)
            raise UsageError(f"the bundle has no image '{component}'", fix=f"it has: {names}")
        return recipe
