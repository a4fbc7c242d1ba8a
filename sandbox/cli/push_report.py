"""The result of a push on stdout: digests for people, a report in JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from sandbox.quantities import count, megabytes

if TYPE_CHECKING:
    from sandbox.errors import SandboxError
    from sandbox.images.progress import Result
    from sandbox.images.push import PushFailed
    from sandbox.oci.reference import Target


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image that was pushed, or was not: then with an `id`, as errors have it."""

    image: str
    action: str  # skipped, mounted, uploaded, failed or untried
    bytes: int = 0
    seconds: float = 0
    source: str = ""
    digest: str = ""
    notes: Sequence[str] = ()
    id: str = ""
    error: str = ""
    details: str = ""
    fix: str = ""


@dataclass(frozen=True)
class Reason:
    id: str
    error: str
    details: str
    fix: str


@dataclass(kw_only=True)
class Push:
    """`sandbox push-images`.

    `bytes` are all that were sent, `unique_bytes` those of the different blobs among them, and `ratio` is their
    quotient: 1.0 when every blob was sent once, null when nothing had to be.
    """

    images: Sequence[Image]
    bytes: int
    unique_bytes: int
    ratio: float | None
    seconds: float
    verified_bytes: int = 0
    verify: Reason | None = None
    lock: Reason | None = None
    pruned: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class ImageForecast:
    """How an image would be pushed. Before the engine has built or saved it, the values are null or 0, not `exact`."""

    image: str
    action: str | None
    blobs: int
    bytes: int
    exact: bool
    source: str | None
    digest: str | None
    id: str = ""
    error: str = ""
    details: str = ""
    fix: str = ""


@dataclass(frozen=True, kw_only=True)
class PushForecast:
    """`sandbox push-images --dry-run`; `unlisted` are the tags that `--prune` would delete."""

    images: Sequence[ImageForecast]
    bytes: int
    exact: bool
    unlisted: Sequence[str] = ()


def pushed(results: Sequence[Result], failure: PushFailed | None, sent: int, seconds: float) -> Push:
    images = [
        Image(
            image=result.target,
            action=result.action.value,
            bytes=result.size,
            seconds=round(result.seconds, 3),
            source=result.source,
            digest=result.digest,
            notes=result.notes,
        )
        for result in results
    ]
    if failure is not None:
        images += [
            Image(image=str(target), action="failed", **asdict(why(error)))
            for target, error in failure.failures.items()
        ]
        images += [Image(image=str(target), action="untried") for target in failure.untried]
    unique = sum(result.unique for result in results)
    return Push(
        images=images,
        bytes=sent,
        unique_bytes=unique,
        ratio=round(sent / unique, 4) if unique else None,
        seconds=round(seconds, 3),
    )


def forecast(
    targets: Iterable[Target], results: Sequence[Result], failure: PushFailed | None, unlisted: Sequence[str]
) -> PushForecast:
    """Return the report of a dry run, which has no result for images that the engine would build or save first."""
    by_target = {result.target: result for result in results}
    images = []
    for target in targets:
        result = by_target.get(str(target))
        error = failure.failures.get(target) if failure else None
        images.append(
            ImageForecast(
                image=str(target),
                action=result.action.value if result else None,
                blobs=result.blobs if result else 0,
                bytes=result.size if result else 0,
                exact=bool(result or error),
                source=result.source if result else None,
                digest=result.digest if result else None,
                **(asdict(why(error)) if error else {}),
            )
        )
    size, exact = sum(image.bytes for image in images), all(image.exact for image in images)
    return PushForecast(images=images, bytes=size, exact=exact, unlisted=unlisted)


def why(error: SandboxError) -> Reason:
    return Reason(error.id, error.brief, error.details, error.fix)


def push_lines(push: Push) -> Iterator[str]:
    """Yield each image with its digest, ready to be pasted."""
    for image in push.images:
        if image.digest:
            yield image.image if "@" in image.image else f"{image.image}@{image.digest}"


def forecast_lines(plan: PushForecast) -> Iterator[str]:
    for image in plan.images:
        blobs = count(image.blobs, "blob")
        if image.error:
            cost = image.error
        elif not image.exact:
            cost = "after the engine has built or saved it"
        else:
            cost = f"{blobs}, {megabytes(image.bytes)}" if image.blobs else ""
        word = "error" if image.error else image.action or "pushed"
        yield f"{word:<9} {image.image:<40} {cost}".rstrip()
    for name in plan.unlisted:
        yield f"deleted   {name}"
