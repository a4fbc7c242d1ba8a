"""The result of a push on stdout: digests for people, a report in JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from sandbox.quantities import count, megabytes

if TYPE_CHECKING:
    from sandbox.errors import SandboxError
    from sandbox.images.dry_run import Forecast
    from sandbox.images.progress import Result
    from sandbox.images.push import PushFailed


def pushed(results: Sequence[Result], failure: PushFailed | None, sent: int, seconds: float) -> dict[str, Any]:
    """Return the report of a push.

    `bytes` are all that were sent, `unique_bytes` those of the different blobs among them, and `ratio` is their
    quotient: 1.0 when every blob was sent once, null when nothing had to be.
    """
    images = [
        {
            "image": one.target,
            "action": one.action.value,
            "bytes": one.size,
            "seconds": round(one.seconds, 3),
            "source": one.source,
            "digest": one.digest,
            **({"notes": list(one.notes)} if one.notes else {}),
        }
        for one in results
    ]
    if failure is not None:
        images += [
            {"image": str(target), "action": "failed", **why(error)} for target, error in failure.failures.items()
        ]
        images += [{"image": str(target), "action": "untried"} for target in failure.untried]
    unique = sum(one.unique for one in results)
    return {
        "images": images,
        "bytes": sent,
        "unique_bytes": unique,
        "ratio": round(sent / unique, 4) if unique else None,
        "seconds": round(seconds, 3),
    }


def forecast(forecasts: Sequence[Forecast]) -> dict[str, Any]:
    """Return the report of a dry run.

    `action` is null where it cannot be known, `exact` is false where `bytes` are an upper bound.
    """
    images = [
        {
            "image": one.target,
            "action": one.action.value if one.action else None,
            "blobs": one.blobs,
            "bytes": one.size,
            "exact": one.exact,
            "source": one.source or None,
            "digest": one.digest or None,
            **(why(one.error) if one.error else {}),
        }
        for one in forecasts
    ]
    return {"images": images, "bytes": sum(one.size for one in forecasts), "exact": all(f.exact for f in forecasts)}


def why(error: SandboxError) -> dict[str, str]:
    """Return an error as JSON has it."""
    return {"id": error.id, "error": error.brief, "details": error.details, "fix": error.fix}


def show_results(results: Sequence[Result]) -> None:
    """Print each image with its digest, ready to be pasted."""
    for one in results:
        click.echo(one.target if "@" in one.target else f"{one.target}@{one.digest}")


def show_forecasts(forecasts: Sequence[Forecast]) -> None:
    """Print the plan, one line for each image."""
    for one in forecasts:
        word = "error" if one.error else one.action.value if one.action else "built"
        click.echo(f"{word:<9} {one.target:<40} {_cost(one)}".rstrip())


def _cost(one: Forecast) -> str:
    if one.error:
        return one.error.brief
    if one.action is None:
        return "then pushed"
    if not one.blobs:
        return ""
    blobs = count(one.blobs, "blob")
    if one.exact:
        return f"{blobs}, {megabytes(one.size)}"
    return f"{blobs}, at most {megabytes(one.size)}" if one.size else f"{blobs} at most"
