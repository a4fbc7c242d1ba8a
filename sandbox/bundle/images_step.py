"""The step that puts the system images into the engine."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.bundle.recipe import Recipe, recipes
from sandbox.bundle.store import Store
from sandbox.bundle.system_images import ALIASES, IN_ENGINE, PREFIX, OwnImages
from sandbox.engine import Engine, EngineError
from sandbox.errors import SandboxError
from sandbox.step import NothingToUndo, State, Status, Work


@dataclass(frozen=True, kw_only=True)
class ImagesStep(NothingToUndo):
    """Loads the images from the bundle or pulls them by digest. They stay after `down`, for other sandboxes.

    `further` are components that only the bundle has; images.yaml names them by their stable names.
    """

    engine: Engine
    own: OwnImages
    store: Store
    further: tuple[Recipe, ...] = ()
    components: tuple[str, ...] = IN_ENGINE
    name: str = "images"
    requires: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return "System images"

    def check(self) -> Status:
        missing = self._missing()
        if missing:
            return Status(State.ABSENT, f"missing: {', '.join(missing)}")
        for reference, alias in self._aliases():
            if self.engine.image_id(alias) != self.engine.image_id(reference):
                return Status(State.DRIFTED, f"{alias} is another image")
        return Status(State.READY, f"from {'the bundle' if self.own.source == 'bundle' else 'their registries'}")

    def apply(self, work: Work) -> None:
        further = [one.name for one in self.further]
        for component in self._missing():
            work.say(component)
            if self.own.source == "bundle" or component in further:
                self.engine.load(self.store.image(recipes()[component]))
            else:
                self._pull(self.own.references[component])
        for reference, alias in self._aliases():
            self.engine.tag(reference, alias)

    def _missing(self) -> list[str]:
        wanted = {name: self.own.references[name] for name in self.components}
        wanted |= {one.name: one.reference for one in self.further}
        return [name for name, reference in wanted.items() if self.engine.image_id(reference) is None]

    def _aliases(self) -> list[tuple[str, str]]:
        stable = [(self.own.references[component], alias) for component, alias in ALIASES.items()]
        return stable + [(one.reference, f"{PREFIX}{one.name}:latest") for one in self.further]

    def _pull(self, reference: str) -> None:
        try:
            self.engine.pull(reference)
        except EngineError as error:
            raise SandboxError(
                f"the system image {reference.split('@')[0]} cannot be pulled",
                details=error.details,
                fix="sandbox bundle build  (builds all of them from package registries, once)",
                id="no-images",
            ) from error
