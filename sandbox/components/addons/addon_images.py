"""The images of addons: from the bundle, pulled by digest by the engine, or in a registry that the spec names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sandbox.bundle import machine_node, published
from sandbox.bundle.recipe import Recipe, recipes
from sandbox.bundle.store import Store
from sandbox.components.addons.addon_objects import Objects
from sandbox.engine import Engine
from sandbox.errors import SandboxError, UsageError
from sandbox.kube.api import Say
from sandbox.kube.pod_images import PodImage, pod_images
from sandbox.names import Names
from sandbox.oci import reference as references
from sandbox.oci.client import Client
from sandbox.provider import Provider


@dataclass(frozen=True, kw_only=True)
class AddonImages:
    """The places from which images of addons may come.

    `pulled` are published images of components that the bundle lacks, by digest; the engine pulls them. `registry` is
    the address of the sandbox's registry on this machine, `names` those that its images have on nodes, `others` the
    hosts of registries that the user has told the nodes of.
    """

    engine: Engine
    sandbox: Names
    provider: Provider
    store: Store
    registry: str
    names: tuple[str, ...]
    others: tuple[str, ...]
    pulled: Mapping[str, str] = field(default_factory=dict)

    def supply(self, addon: str, objects: Objects, components: Iterable[str], say: Say = lambda _: None) -> None:
        """Load the components into nodes that lack them; check that other images are available. Raises SandboxError."""
        own = {self.reference(name): self._recipe(name) for name in components}
        missing = [recipe for reference, recipe in own.items() if not self._on_nodes(reference)]
        for recipe in missing:
            if recipe.name not in self.pulled and not self.store.has(recipe):
                raise SandboxError(
                    f"the addon '{addon}' needs {recipe.name}, which the bundle lacks",
                    fix=f"{published.BUILD} {recipe.name}",
                    id="no-bundle",
                )
        images = {image for manifest in objects for image in pod_images(manifest)}
        for image in sorted((image for image in images if image.reference not in own), key=str):
            self._require(addon, image)
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

    def _require(self, addon: str, image: PodImage) -> None:
        parsed = references.parse(image.reference)
        if parsed.host in self.names:
            with Client(self.registry) as client:
                is_missing = client.manifest_digest(parsed.path, parsed.name) is None
            why = f"{self.registry} has no {parsed.path}:{parsed.name}"
        else:
            is_missing = parsed.host not in self.others and (image.always or not self._on_nodes(image.reference))
            why = f"{parsed.host} is no registry of the sandbox, and nodes would ask it over the internet"
        if is_missing:
            here = f"{self.registry}/{parsed.path}:{parsed.tag or references.DEFAULT_TAG}"
            raise SandboxError(
                f"the addon '{addon}' runs an image that is neither in the sandbox's registry nor in the bundle: "
                f"{image.reference}",
                details=why,
                fix="push it: list it in images.yaml, run `sandbox push-images images.yaml`, and let the addon run "
                f"{here}",
                id="addon-image",
            )

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
