"""The result of a push, or of its dry run, on stdout: digests for people, a report in JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.quantities import count, megabytes

if TYPE_CHECKING:
    from sandbox.errors import SandboxError
    from sandbox.images.progress import Result
    from sandbox.images.push import PushFailed
    from sandbox.oci.reference import Target


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image that was pushed, or was not: then with an `id`, as errors have it.

    In a dry run `untried` is an image that the engine would build or save first.
    """

    image: str
    action: str  # skipped, mounted, uploaded, failed or untried
    blobs: int = 0
    bytes: int = 0
    seconds: float = 0
    source: str = ""
    digest: str = ""
    notes: Sequence[str] = ()
    id: str = ""
    error: str = ""
    details: str = ""
    fix: str = ""


@dataclass(kw_only=True)
class Push:
    """`sandbox push-images`; with `--dry-run` what it would send and prune.

    `bytes` are all that were sent, `unique_bytes` those of the different blobs among them, and `ratio` is their
    quotient: 1.0 when every blob was sent once, null when nothing had to be.
    """

    images: Sequence[Image]
    bytes: int
    unique_bytes: int
    ratio: float | None
    seconds: float
    verified_bytes: int = 0
    pruned: Sequence[str] = ()


def pushed(
    targets: Iterable[Target],
    results: Sequence[Result],
    failure: PushFailed | None,
    *,
    sent: int | None = None,
    seconds: float = 0,
) -> Push:
    """Return the report; `sent` counts the bytes of all tries, by default it is the sum of the results."""
    by_name = {result.target: result for result in results}
    errors = failure.failures if failure else {}
    unique = sum(result.unique for result in results)
    total = sum(result.size for result in results) if sent is None else sent
    return Push(
        images=[_image(target, by_name.get(str(target)), errors.get(target)) for target in targets],
        bytes=total,
        unique_bytes=unique,
        ratio=round(total / unique, 4) if unique else None,
        seconds=round(seconds, 3),
    )


def _image(target: Target, result: Result | None, error: SandboxError | None) -> Image:
    if error:
        return Image(
            image=str(target),
            action="failed",
            id=error.id,
            error=error.brief,
            details=error.details,
            fix=error.fix,
        )
    if result is None:
        return Image(image=str(target), action="untried")
    return Image(
        image=result.target,
        action=result.action.value,
        blobs=result.blobs,
        bytes=result.size,
        seconds=round(result.seconds, 3),
        source=result.source,
        digest=result.digest,
        notes=result.notes,
    )


def push_lines(push: Push) -> Iterator[str]:
    """Yield each image with its digest, ready to be pasted."""
    for image in push.images:
        if image.digest:
            yield image.image if "@" in image.image else f"{image.image}@{image.digest}"


def forecast_lines(push: Push) -> Iterator[str]:
    for image in push.images:
        cost = f"{count(image.blobs, 'blob')}, {megabytes(image.bytes)}" if image.blobs else image.error
        if image.action == "untried":
            cost = "known after the engine has built or saved it"
        yield f"{image.action:<9} {image.image:<40} {cost}".rstrip()
    for name in push.pruned:
        yield f"deleted   {name}"
