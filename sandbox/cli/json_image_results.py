"""What `-o json` prints for commands about images: pushes, the registry's content, and what was removed from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

Seconds = Annotated[float, Field(ge=0)]
Bytes = Annotated[int, Field(ge=0)]
Pushed = Literal["skipped", "mounted", "uploaded", "failed", "untried"]


@dataclass(frozen=True)
class Image:
    """An image that was pushed, or was not: then with an `id`, as errors have it."""

    image: str
    action: Pushed
    bytes: Bytes = 0
    seconds: Seconds = 0
    source: str = ""
    digest: str = ""
    notes: tuple[str, ...] = ()
    id: str = ""
    error: str = ""
    details: str = ""
    fix: str = ""


@dataclass(frozen=True)
class Reason:
    """Why something failed."""

    id: str
    error: str
    details: str
    fix: str


@dataclass(frozen=True)
class Push:
    """`sandbox push-images`; `ratio` is bytes by unique bytes, null if nothing was sent."""

    images: tuple[Image, ...]
    bytes: Bytes
    unique_bytes: Bytes
    ratio: float | None
    seconds: Seconds
    verified_bytes: Bytes = 0
    verify: Reason | None = None
    lock: Reason | None = None
    pruned: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageForecast:
    """An image as it would be pushed; `action` is null where it is not known, `bytes` a bound if not `exact`."""

    image: str
    action: Pushed | None
    blobs: Annotated[int, Field(ge=0)]
    bytes: Bytes
    exact: bool
    source: str | None
    digest: str | None
    id: str = ""
    error: str = ""
    details: str = ""
    fix: str = ""


@dataclass(frozen=True)
class PushForecast:
    """`sandbox push-images --dry-run`; `unlisted` are the tags that `--prune` would delete."""

    images: tuple[ImageForecast, ...]
    bytes: Bytes
    exact: bool
    unlisted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tag:
    """A tag of the registry; the digest is empty where its manifest is gone."""

    repository: str
    tag: str
    digest: str
    bytes: Bytes
    unique_bytes: Bytes
    shared_bytes: Bytes


@dataclass(frozen=True)
class RegistryContent:
    """`sandbox registry list`."""

    registry: str
    bytes: Bytes
    images: tuple[Tag, ...]


@dataclass(frozen=True)
class Collected:
    """`sandbox registry gc`; `deleted` is false with `--dry-run`.

    `leftovers` are unfinished uploads and damaged blobs.
    """

    deleted: bool
    bytes: Bytes
    blobs: Annotated[int, Field(ge=0)]
    manifests: tuple[str, ...]
    leftovers: Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class PrunedImage:
    """A node image of this machine; `bytes` are those that it has besides the published one that it is made of."""

    image: str
    bytes: Bytes


@dataclass(frozen=True)
class PrunedImages:
    """`sandbox images prune`; `deleted` is false with `--dry-run`, and `used` are images that stay."""

    deleted: bool
    bytes: Bytes
    images: tuple[PrunedImage, ...]
    used: tuple[str, ...]
