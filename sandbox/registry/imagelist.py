"""`images.yaml`, the manifest of images to push, read into frozen entries, one kind for each place images come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sandbox.document import load as load_document
from sandbox.errors import UsageError
from sandbox.registry import reference as references
from sandbox.registry import target as targets
from sandbox.registry.reference import Reference
from sandbox.registry.target import Target


@dataclass(frozen=True)
class FromRegistry:
    """An image of another registry."""

    target: Target
    image: Reference


@dataclass(frozen=True)
class FromDaemon:
    """An image of the local Docker Engine, by any name the engine knows it under."""

    target: Target
    image: str


@dataclass(frozen=True)
class FromArchive:
    """An image in a tar file: `docker save` or an OCI archive. `image` chooses one of several."""

    target: Target
    path: Path
    image: str | None = None


@dataclass(frozen=True)
class FromLayout:
    """An image in an OCI layout folder. `image` chooses one of several."""

    target: Target
    path: Path
    image: str | None = None


@dataclass(frozen=True)
class FromBuild:
    """An image the local Docker Engine builds from a folder with a Dockerfile."""

    target: Target
    context: Path


Entry = FromRegistry | FromDaemon | FromArchive | FromLayout | FromBuild

_NEEDS = {"registry": "image", "daemon": "image", "archive": "path", "layout": "path", "build": "context"}
_ALLOWED = {
    "registry": {"image"},
    "daemon": {"image"},
    "archive": {"path", "image"},
    "layout": {"path", "image"},
    "build": {"context"},
}


class Item(BaseModel):
    """One element of `images`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    origin: Literal["registry", "daemon", "archive", "layout", "build"] = Field("registry", alias="from")
    image: str | None = None
    path: Path | None = None
    context: Path | None = None
    target: str | None = Field(None, alias="as")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        given = {key for key in ("image", "path", "context") if getattr(self, key) is not None}
        if _NEEDS[self.origin] not in given:
            raise ValueError(f"`from: {self.origin}` needs `{_NEEDS[self.origin]}:`")
        if odd := sorted(given - _ALLOWED[self.origin]):
            raise ValueError(f"`{odd[0]}:` has no meaning with `from: {self.origin}`")
        try:
            self.entry(Path())
        except UsageError as error:
            raise ValueError(": ".join(part for part in (error.brief, error.details, error.fix) if part)) from error
        return self

    def entry(self, folder: Path) -> Entry:
        """This element with relative paths taken from `folder`. Raises UsageError."""
        target = self._target()
        match self.origin:
            case "registry":
                return FromRegistry(target, references.parse(self.image or "").with_default_tag())
            case "daemon":
                return FromDaemon(target, self.image or "")
            case "archive":
                return FromArchive(target, folder / (self.path or ""), self.image)
            case "layout":
                return FromLayout(target, folder / (self.path or ""), self.image)
            case "build":
                return FromBuild(target, folder / (self.context or ""))

    def _target(self) -> Target:
        if self.target is not None:
            return targets.parse(self.target)
        if self.image is None:
            raise UsageError("the image has no name", fix="add `as: name:tag`")
        return targets.of(references.parse(self.image))


def _expanded(item: Any) -> Any:
    """The short form, a plain string, is an image of a registry."""
    return {"from": "registry", "image": item} if isinstance(item, str) else item


class ImageList(BaseModel):
    """The file as a whole."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: tuple[Annotated[Item, BeforeValidator(_expanded)], ...]

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        seen: set[Target] = set()
        for item in self.images:
            target = item.entry(Path()).target
            if target in seen:
                raise ValueError(f"two images would become {target}; give one of them another `as:`")
            seen.add(target)
        return self


def load(path: Path) -> tuple[Entry, ...]:
    """Read a manifest of images. Relative paths start at its folder. Raises UsageError with file, line and key."""
    return tuple(item.entry(path.parent) for item in load_document(path, ImageList).images)
