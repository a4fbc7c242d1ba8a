"""The step that puts the system images into the engine."""

from collections.abc import Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial

from sandbox.bundle import machine_node, published
from sandbox.bundle.recipe import Recipe
from sandbox.bundle.store import Store
from sandbox.bundle.system_images import ALIASES, IN_ENGINE, IN_PODS, PREFIX, OwnImages
from sandbox.engine import Engine
from sandbox.step import NothingToUndo, State, Status, Work
from sandbox.system import interruption

AT_ONCE = 3
EVERY = 0.5  # seconds between two reports


@dataclass(frozen=True, kw_only=True)
class ImagesStep(NothingToUndo):
    """Loads the images from the bundle or pulls them by digest; they stay after `down`, for other sandboxes.

    `further` are components that only the bundle has; images.yaml names them by their stable names. `pulled` are those
    that it does not have, and that are always pulled, by digest.
    """

    engine: Engine
    own: OwnImages
    store: Store
    further: tuple[Recipe, ...] = ()
    pulled: Mapping[str, str] = field(default_factory=dict)
    components: tuple[str, ...] = IN_ENGINE
    name: str = "images"
    requires: tuple[str, ...] = ()
    title: str = "System images"

    def check(self) -> Status:
        missing = self._missing()
        if missing:
            return Status(State.ABSENT, f"missing: {', '.join(missing)}")
        for reference, alias in self._aliases():
            if self.engine.image_id(alias) != self.engine.image_id(reference):
                return Status(State.DRIFTED, f"{alias} is another image")
        return Status(State.READY, f"from {'the bundle' if self.own.source == 'bundle' else 'their registries'}")

    def apply(self, work: Work) -> None:
        further = {recipe.name: recipe for recipe in self.further}
        missing, upstream = self._missing(), []
        for name in missing:
            if name in further or (self.own.source == "bundle" and name not in self.pulled):
                work.say(name)
                self.engine.load(self.store.image(further.get(name) or self.own.recipe(name)))
            elif name not in self.pulled:
                upstream.append(name)
        if self.own.published:
            self._prepare(upstream, work)
        else:
            self._pull(upstream, work)
        self._pull([name for name in missing if name in self.pulled], work)
        for name, reference in self.pulled.items():
            published.fetch(self.engine, name, reference, work.say, "")
        for reference, alias in self._aliases():
            self.engine.tag(reference, alias)

    def _prepare(self, missing: list[str], work: Work) -> None:
        needed = dict.fromkeys((*missing, *(IN_PODS if "node" in missing else ())))
        references, local = self.own.published, self.own.references
        self._pull([name for name in needed if self.engine.image_id(references[name]) is None], work)
        for name in IN_PODS:
            if name in needed:
                self.engine.tag(references[name], local[name])
        if "node" in missing:
            images = [local[name] for name in IN_PODS]
            machine_node.make(self.engine, references["node"], images, local["node"], work.say)

    def _missing(self) -> list[str]:
        needed = {name: self.own.references[name] for name in self.components}
        needed |= {recipe.name: recipe.reference for recipe in self.further}
        needed |= {name: published.local_name(name, reference) for name, reference in self.pulled.items()}
        return [name for name, reference in needed.items() if self.engine.image_id(reference) is None]

    def _aliases(self) -> list[tuple[str, str]]:
        stable = [(self.own.references[component], alias) for component, alias in ALIASES.items()]
        return stable + [(recipe.reference, f"{PREFIX}{recipe.name}:latest") for recipe in self.further]

    def _pull(self, components: list[str], work: Work) -> None:
        # An interrupt ends all at once: the engine gives up a pull when this process is gone.
        lines: dict[str, str] = {}
        references = {**self.pulled, **(self.own.published or self.own.references)}

        def pull(component: str) -> None:
            build = "" if component in self.pulled else published.BUILD
            published.pull(self.engine, references[component], partial(lines.__setitem__, component), build)
            lines.pop(component, None)

        pool = ThreadPoolExecutor(AT_ONCE)
        try:
            pulls = {pool.submit(pull, component) for component in components}
            while pulls:
                done, pulls = wait(pulls, EVERY, FIRST_EXCEPTION)
                for finished in done:
                    finished.result()
                interruption.check()
                if lines:
                    work.say("; ".join(f"{name}: {line}" for name, line in tuple(lines.items())))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
