"""`images.yaml`, the manifest of images to push, read into frozen entries, one class for each kind of source.

In every entry `platforms` (`os/architecture[/variant]`) are the only ones wanted; without any, the source decides.
"""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from sandbox.config.loader import CURRENT, Format
from sandbox.config.loader import load as load_document
from sandbox.config.model import Document, text_schema
from sandbox.config.problems import Misfits
from sandbox.config.schema.values import as_name
from sandbox.errors import UsageError
from sandbox.oci import digest as digests
from sandbox.oci import reference as references
from sandbox.oci.reference import Reference, Target, parse_target, target_of


def _inside(text: str) -> str:
    path = PurePosixPath(text)
    if not text or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"'{text}' is not a path in the context; write it from there, such as src")
    return str(path)


def _absolute(text: str) -> str:
    path = PurePosixPath(text)
    if not path.is_absolute() or ".." in path.parts or str(path) == "/":
        raise ValueError(f"'{text}' is not a place in a container; write its whole path, such as /app/src")
    return str(path)


class SyncRule(Document):
    """Files and folders to copy, and what happens in the container then."""

    model_config = ConfigDict(strict=False)

    paths: dict[Annotated[str, AfterValidator(_inside)], Annotated[str, AfterValidator(_absolute)]] = Field(
        min_length=1, description="Files and folders of the context, each with its whole path in the container."
    )
    run: tuple[str, ...] = Field(default=(), description="A command to run in the container then, as a list of words.")
    restart: bool = Field(
        default=False,
        description="Whether the program is started again then, in the container as it is; needs a shell in the image.",
    )

    @model_validator(mode="after")
    def _has_one_action(self) -> Self:
        if self.run and self.restart:
            raise ValueError("`run:` and `restart:` exclude each other; `restart` starts the image's own program")
        return self

    def place(self, path: str) -> str | None:
        """Return where a path of the context goes, by the longest of `paths` that has it; None where nowhere."""
        file = PurePosixPath(path)
        folders = sorted(filter(file.is_relative_to, self.paths), key=lambda path: len(PurePosixPath(path).parts))
        return str(PurePosixPath(self.paths[folders[-1]]) / file.relative_to(folders[-1])) if folders else None


@dataclass(frozen=True)
class FromRegistry:
    target: Target
    image: Reference
    platforms: tuple[str, ...] = ()


@dataclass(frozen=True)
class FromDaemon:
    target: Target
    image: str
    platforms: tuple[str, ...] = ()


@dataclass(frozen=True)
class FromArchive:
    target: Target
    path: Path
    image: str | None = None
    platforms: tuple[str, ...] = ()


@dataclass(frozen=True)
class FromLayout:
    target: Target
    path: Path
    image: str | None = None
    platforms: tuple[str, ...] = ()


@dataclass(frozen=True)
class FromBuild:
    """The options of `docker buildx build`, `stage` its `--target`; relative paths in them start at `folder`."""

    target: Target
    context: Path
    platforms: tuple[str, ...] = ()
    folder: Path = field(default=Path(), compare=False)
    dockerfile: str | None = None
    args: tuple[tuple[str, str], ...] = ()
    stage: str | None = None
    secrets: tuple[str, ...] = ()
    ssh: tuple[str, ...] = ()
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    sync: tuple[SyncRule, ...] = field(default=(), compare=False)

    @property
    def engine_name(self) -> str:
        """Return the name that the engine gets for the image: it differs for each folder, and replaces no other."""
        folder = self.folder.resolve()
        place = hashlib.sha256(str(folder).encode()).hexdigest()[:8]
        return f"sandbox.dev/built/{as_name(folder.name) or 'images'}-{place}/{self.target}"


Entry = FromRegistry | FromDaemon | FromArchive | FromLayout | FromBuild

_NEEDS = {"registry": "image", "daemon": "image", "archive": "path", "layout": "path", "build": "context"}
_ALLOWED = {
    "registry": {"image"},
    "daemon": {"image"},
    "archive": {"path", "image"},
    "layout": {"path", "image"},
    "build": {"context", "dockerfile", "args", "target", "secrets", "ssh", "cache_from", "cache_to", "sync"},
}
_KEYS = ("image", "path", *sorted(_ALLOWED["build"]))
_RULES: list[Any] = [
    {
        "if": {"properties": {"from": {"const": kind}}, **({} if kind == "registry" else {"required": ["from"]})},
        "then": {
            "required": [_NEEDS[kind]],
            "anyOf": [{"required": [key]} for key in ("image", "as") if key in allowed | {"as"}],
            "properties": {key: False for key in _KEYS if key not in allowed},
        },
    }
    for kind, allowed in _ALLOWED.items()
]
_PLATFORM = r"[a-z0-9]+/[a-z0-9_]+(/[a-z0-9.]+)?"


def _platform(text: str) -> str:
    if not re.fullmatch(_PLATFORM, text):
        raise ValueError(f"'{text}' is not a platform; write os/architecture, such as linux/amd64")
    return text


Platform = Annotated[str, AfterValidator(_platform), text_schema(pattern=f"^{_PLATFORM}$")]
_NAMED = tuple[Annotated[str, Field(pattern="=")], ...]


def _arguments(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    if odd := [text for text in value if not (isinstance(text, str) and "=" in text)]:
        raise ValueError(f"'{odd[0]}' is not NAME=VALUE")
    return {name: rest for name, _, rest in (text.partition("=") for text in value)}


Arguments = Annotated[dict[str, str], BeforeValidator(_arguments, json_schema_input_type=dict[str, str] | _NAMED)]


class Item(Document):
    """One image: where it comes `from`, and what it is called in the sandbox's registry."""

    model_config = ConfigDict(strict=False, json_schema_extra={"allOf": _RULES})

    origin: Literal["registry", "daemon", "archive", "layout", "build"] = Field(
        "registry", alias="from", description="Where the image comes from; `daemon` and `build` are the Docker Engine."
    )
    image: str | None = Field(
        None, description="Its name there; in an archive or a layout, the name, id or digest of one of several."
    )
    path: Path | None = Field(
        None, description="The archive's file or the layout's folder, relative to this file's folder."
    )
    context: Path | None = Field(None, description="The folder with the Dockerfile, relative to this file's folder.")
    dockerfile: str | None = Field(None, description="Another file than Dockerfile, relative to the context.")
    args: Arguments = Field({}, description="Build arguments: a map, or a list of NAME=VALUE.")
    stage: str | None = Field(None, alias="target", description="The stage to build, by default the last.")
    secrets: tuple[str, ...] = Field(
        (), description="Secrets for the build, such as `id=npm,src=.npmrc` or `id=token,env=TOKEN`; needs BuildKit."
    )
    ssh: tuple[str, ...] = Field((), description="SSH agents or keys for the build, such as `default`; needs BuildKit.")
    cache_from: tuple[str, ...] = Field((), description="Where cached layers come from, as in `type=local,src=DIR`.")
    cache_to: tuple[str, ...] = Field((), description="Where layers are cached, as in `type=local,dest=DIR`.")
    sync: tuple[SyncRule, ...] = Field(
        (), description="Files that `sandbox dev` copies into running containers instead of building the image."
    )
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
    def _is_complete(self) -> Self:
        attributes = {key: getattr(self, "stage" if key == "target" else key) for key in _KEYS}
        given = {key for key, value in attributes.items() if value not in (None, (), {})}
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
        """Return this element as an entry, with relative paths taken from `folder`. Raises UsageError."""
        if self.target is not None:
            target = parse_target(self.target)
        elif self.image is None or digests.is_digest(self.image):
            raise UsageError("the image has no name", fix="add `as: name:tag`")
        else:
            target = target_of(references.parse(self.image))
        only = tuple(dict.fromkeys(self.platforms))
        match self.origin:
            case "registry":
                return FromRegistry(target, references.parse(self.image or "").with_default_tag(), only)
            case "daemon":
                return FromDaemon(target, self.image or "", only)
            case "archive" | "layout":
                kind = FromArchive if self.origin == "archive" else FromLayout
                return kind(target, folder / (self.path or ""), self.image, only)
            case "build":
                return FromBuild(
                    target,
                    folder / (self.context or ""),
                    only,
                    folder=folder,
                    dockerfile=self.dockerfile,
                    args=tuple(self.args.items()),
                    stage=self.stage,
                    secrets=self.secrets,
                    ssh=self.ssh,
                    cache_from=self.cache_from,
                    cache_to=self.cache_to,
                    sync=self.sync,
                )


def _expand(item: Any) -> Any:
    return {"from": "registry", "image": item} if isinstance(item, str) else item


class ImageList(Document):
    """The images that `sandbox push-images` has in the sandbox's registry."""

    version: Format = Field(default=CURRENT, alias="apiVersion")
    daemon: Literal["read", "save"] = Field(
        "read",
        description="How layers leave the Docker Engine: `read` from its own folders where that is possible, or "
        "always by its `save`, which is slower.",
    )
    images: tuple[Annotated[Item, BeforeValidator(_expand, json_schema_input_type=str | Item)], ...]
    fields: dict[str, tuple[str, ...]] = Field(
        {},
        description="Fields of further kinds that hold names of images: kinds, each with paths such as "
        "`spec.workers.image`, which lead through lists.",
    )

    @model_validator(mode="after")
    def _has_distinct_targets(self) -> Self:
        seen: set[Target] = set()
        twice = []
        for number, entry in enumerate(self.entries(Path())):
            if entry.target in seen:
                message = f"two images would become {entry.target}; give one of them another `as:`"
                twice.append((("images", number), message))
            seen.add(entry.target)
        if twice:
            raise Misfits(*twice)
        return self

    def entries(self, folder: Path) -> tuple[Entry, ...]:
        return tuple(item.entry(folder) for item in self.images)


def read(path: Path) -> ImageList:
    return load_document(path, ImageList)


def load(path: Path) -> tuple[Entry, ...]:
    """Return the images of a file, whose relative paths start at its folder. Raises UsageError with file and line."""
    return read(path).entries(path.parent)


def schema() -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **ImageList.model_json_schema(),
        "title": "images.yaml of sandbox push-images",
    }
