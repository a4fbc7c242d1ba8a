"""The sandbox's own images inside nodes that did not bring them along."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.bundle.recipe import Recipe
from sandbox.bundle.store import Store
from sandbox.errors import SandboxError
from sandbox.provider import Provider
from sandbox.step import State, Status, Work


@dataclass(frozen=True)
class NodeImagesStep:
    """Images of the bundle for pods: the provider puts them into the nodes, and each node is asked whether it has them.

    Where images come from their registries there are none of these, for nodes pull what they need themselves.
    """

    provider: Provider
    store: Store
    recipes: tuple[Recipe, ...]
    name: str = "node-images"
    needs: tuple[str, ...] = ("cluster",)

    @property
    def title(self) -> str:
        return f"{len(self.recipes)} images of the bundle in the nodes"

    def check(self) -> Status:
        missing = self._missing()
        if missing:
            every = len(missing) == len(self.recipes)
            return Status(State.ABSENT if every else State.DRIFTED, ", ".join(one.name for one in missing))
        return Status(State.READY, ", ".join(one.name for one in self.recipes))

    def apply(self, work: Work) -> None:
        for recipe in self._missing():
            work.say(recipe.name)
            self.provider.load(self.store.image(recipe))
        left = self._missing()
        if left:
            raise SandboxError(
                f"the nodes did not take {', '.join(one.reference for one in left)}",
                details="the provider said that it loaded them",
                fix="see that the nodes have disk space left: docker system df",
            )

    def undo(self) -> bool:
        return False

    def _missing(self) -> list[Recipe]:
        nodes = self.provider.nodes
        return [
            one
            for one in self.recipes
            if any(nodes.execute(node, ["crictl", "inspecti", "--quiet", one.reference])[0] for node in nodes.running())
        ]
