"""The images of addons that are components of the bundle: from there, or pulled by digest by the engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sandbox.bundle import machine_node, published
from sandbox.bundle.recipe import Recipe, recipes
from sandbox.bundle.store import Store
from sandbox.engine import Engine
from sandbox.errors import SandboxError, UsageError
from sandbox.kube.api import Say
from sandbox.names import Names
from sandbox.provider import Provider


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
        return all(nodes.execute(node, argv)[0] == 0 for node in nodes.running())

    @staticmethod
    def _recipe(component: str) -> Recipe:
        recipe = recipes().get(component)
        if recipe is None or recipe.image is None:
            names = ", ".join(name for name, other in recipes().items() if other.image)
            raise UsageError(f"the bundle has no image '{component}'", fix=f"it has: {names}")
        return recipe
