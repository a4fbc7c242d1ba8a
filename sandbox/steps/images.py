"""The sandbox's own images, present in the engine."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.bundle.own import ALIASES, IN_ENGINE, OwnImages
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.errors import SandboxError
from sandbox.host.engine import Engine, EngineError
from sandbox.steps.step import State, Status, Work


@dataclass(frozen=True)
class ImagesStep:
    """Loads the images from the bundle or pulls them by digest. They stay after `down`: other sandboxes use them."""

    engine: Engine
    own: OwnImages
    store: Store
    name: str = "images"
    needs: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return "Images of the sandbox itself"

    def check(self) -> Status:
        missing = self._missing()
        if missing:
            return Status(State.ABSENT, f"missing: {', '.join(missing)}")
        for component, alias in ALIASES.items():
            if self.engine.image_id(alias) != self.engine.image_id(self.own.references[component]):
                return Status(State.DRIFTED, f"{alias} is another image")
        return Status(State.READY, f"from {'the bundle' if self.own.source == 'bundle' else 'their registries'}")

    def apply(self, work: Work) -> None:
        for component in self._missing():
            reference = self.own.references[component]
            work.say(reference)
            if self.own.source == "bundle":
                self.engine.load(self.store.image(recipes()[component]))
            else:
                self._pull(reference)
        for component, alias in ALIASES.items():
            self.engine.tag(self.own.references[component], alias)

    def undo(self) -> bool:
        return False

    def _missing(self) -> list[str]:
        return [name for name in IN_ENGINE if self.engine.image_id(self.own.references[name]) is None]

    def _pull(self, reference: str) -> None:
        try:
            self.engine.pull(reference)
        except EngineError as error:
            raise SandboxError(
                f"the sandbox's own image {reference.split('@')[0]} cannot be pulled",
                details=error.details,
                fix="sandbox bundle build  (makes all of them from package registries, once)",
                id="no-images",
            ) from error
