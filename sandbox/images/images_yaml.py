"""`images.yaml`, the manifest of images to push, read into frozen entries, one kind for each place images come from.

In every entry `platforms` (`os/architecture[/variant]`) are the only ones wanted, none meaning what the source decides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator

from sandbox.config.loader import CURRENT, Format, Misfits
from sandbox.config.loader import load as load_document
from sandbox.errors import UsageError
from sandbox.images import target as targets
from sandbox.images.target import Target
from sandbox.oci import reference as references
from sandbox.oci.reference import Reference


@dataclass(frozen=True)
class FromRegistry:
    """An image of another registry."""

    target: Target
    image: Reference
    platforms: tuple[str, ...] = ()


@dataclass(frozen=True)
class FromDaemon:
    """An image of the local Docker Engine, by any name the engine knows it under."""

    target: Target
    image: str
    platforms: tuple[str, ...] = ()


@dataclass(frozen=True)
class FromArchive:
    """An image in a tar file: `docker save` or an OCI archive. `image` chooses one of several."""

    target: Target
    path: Path
    image: str | None = None
    platforms: tuple[str, ...] = ()


@dataclass(frozen=True)
class FromLayout:
    """An image in an OCI layout folder. `image` chooses one of several."""

    target: Target
    path: Path
    image: str | None = None
    platforms: tuple[str, ...] = ()


@dataclass(frozen=True)
class FromBuild:
    """An image the local Docker Engine builds from a folder with a Dockerfile."""

    target: Target
    context: Path
    platforms: tuple[str, ...] = ()


Entry = FromRegistry | FromDaemon | FromArchive | FromLayout | FromBuild

_NEEDS = {"registry": "image", "daemon": "image", "archive": "path", "layout": "path", "build": "context"}
_ALLOWED = {
    "registry": {"image"},
    "daemon": {"image"},
    "archive": {"path", "image"},
    "layout": {"path", "image"},
    "build": {"context"},
}
_RULES: list[JsonValue] = [
    {
        "if": {"properties": {"from": {"const": kind}}, **({} if kind == "registry" else {"required": ["from"]})},
        "then": {
            "required": [_NEEDS[kind]],
            "anyOf": [{"required": [key]} for key in ("image", "as") if key in allowed | {"as"}],
            "properties": {key: False for key in ("image", "path", "context") if key not in allowed},
        },
    }
    for kind, allowed in _ALLOWED.items()
]
_PLATFORM = r"[a-z0-9]+/[a-z0-9_]+(/[a-z0-9.]+)?"


def _platform(text: str) -> str:
    if not re.fullmatch(_PLATFORM, text):
        raise ValueError(f"'{text}' is not a platform; write os/architecture, such as linux/amd64")
    return text


Platform = Annotated[str, AfterValidator(_platform), Field(json_schema_extra={"pattern": f"^{_PLATFORM}$"})]


class Item(BaseModel):
    """One image: where it comes `from`, and what it is called in the sandbox's registry."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"allOf": _RULES})

    origin: Literal["registry", "daemon", "archive", "layout", "build"] = Field(
        "registry", alias="from", description="Where the image comes from; `daemon` and `build` are the Docker Engine."
    )
    image: str | None = Field(None, description="Its name there; in an archive or a layout, the one that is meant.")
    path: Path | None = Field(None, description="The archive's file or the layout's folder, from this file's folder.")
    context: Path | None = Field(None, description="The folder with the Dockerfile, from this file's folder.")
    target: str | None = Field(
        None, alias="as", description="`repository[:tag]` in the sandbox's registry, by default the image's own."
    )
    platforms: tuple[Platform, ...] = Field(
        (),
        description="The only platforms to push, such as linux/amd64. By default this machine's for a tag of a "
        "registry, and all there are for a digest and for other sources.",
    )
    names: tuple[str, ...] | None = Field(
        None,
        alias="for",
        description="What user manifests call the image, with a tag or for every tag. By default its own name, its "
        "name where it comes from, and for one that is built every name with the same last part.",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        given = {key for key in ("image", "path", "context") if getattr(self, key) is not None}
        if _NEEDS[self.origin] not in given:
            raise ValueError(f"`from: {self.origin}` needs `{_NEEDS[self.origin]}:`")
        if odd := sorted(given - _ALLOWED[self.origin]):
            raise ValueError(f"`{odd[0]}:` has no meaning with `from: {self.origin}`")
        try:
            self.entry(Path())
            for name in self.names or ():
                references.parse(name)
        except UsageError as error:
            raise ValueError(": ".join(part for part in (error.brief, error.details, error.fix) if part)) from error
        return self

    def entry(self, folder: Path) -> Entry:
        """This element with relative paths taken from `folder`. Raises UsageError."""
        target, only = self._target(), tuple(dict.fromkeys(self.platforms))
        match self.origin:
            case "registry":
                return FromRegistry(target, references.parse(self.image or "").with_default_tag(), only)
            case "daemon":
                return FromDaemon(target, self.image or "", only)
            case "archive":
                return FromArchive(target, folder / (self.path or ""), self.image, only)
            case "layout":
                return FromLayout(target, folder / (self.path or ""), self.image, only)
            case "build":
                return FromBuild(target, folder / (self.context or ""), only)

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
    """The images that `sandbox push-images` has in the sandbox's registry."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Format = Field(CURRENT, alias="apiVersion")
    daemon: Literal["read", "save"] = Field(
        "read",
        description="How layers leave the Docker Engine: `read` from its own folders where that is possible, or "
        "always by its `save`, which is slower.",
    )
    images: tuple[Annotated[Item, BeforeValidator(_expanded, json_schema_input_type=str | Item)], ...]
    fields: dict[str, tuple[str, ...]] = Field(
        {},
        description="Fields of further kinds that hold names of images: kinds, each with paths such as "
        "`spec.workers.image`, which lead through lists.",
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        seen: set[Target] = set()
        twice = []
        for number, item in enumerate(self.images):
            target = item.entry(Path()).target
            if target in seen:
                message = f"two images would become {target}; give one of them another `as:`"
                twice.append((("images", number), message))
            seen.add(target)
        if twice:
            raise Misfits(*twice)
        return self

    def entries(self, folder: Path) -> tuple[Entry, ...]:
        """The images, with relative paths taken from `folder`."""
        return tuple(item.entry(folder) for item in self.images)


def read(path: Path) -> ImageList:
    """Read a manifest of images. Raises UsageError with file, line and key."""
    return load_document(path, ImageList)


def load(path: Path) -> tuple[Entry, ...]:
    """The images of a manifest. Relative paths start at its folder. Raises UsageError with file, line and key."""
    return read(path).entries(path.parent)


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the file, for editors and checkers."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **ImageList.model_json_schema(mode="validation"),
        "title": "images.yaml of sandbox push-images",
    }
