"""Predicts what a push would do, from questions only: nothing is built, saved, sent or deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sandbox.errors import SandboxError
from sandbox.images.images_yaml import Entry, FromBuild
from sandbox.images.progress import Action
from sandbox.images.push import PushFailed, push
from sandbox.images.sources.image_source import Daemon, EngineAccess
from sandbox.oci.compression import Compression
from sandbox.oci.reference import Target


@dataclass(frozen=True)
class Forecast:
    """What a push would do with one image; `action` is None if it would be built first.

    `blobs` and `size` (in bytes) would be sent for it; both are unknown, not `exact`, before it is built or saved.
    """

    target: str
    action: Action | None
    blobs: int = 0
    size: int = 0
    exact: bool = True
    source: str = ""
    digest: str = ""
    error: SandboxError | None = None


def forecast(
    entries: Sequence[Entry],
    registry: str,
    daemon: Daemon | None = None,
    *,
    compression: Compression = Compression.RAW,
    access: EngineAccess | None = None,
    **options: Any,
) -> tuple[Forecast, ...]:
    """Return what `push` with these `options` would do, in the order of `entries`."""
    if compression is not Compression.RAW:  # the size is only known afterwards
        access = replace(access or EngineAccess(), reading=False)
    existing = [entry for entry in entries if not isinstance(entry, FromBuild)]
    failures: Mapping[Target, SandboxError] = {}
    try:
        results = push(existing, registry, daemon, dry=True, compression=compression, access=access, **options)
    except PushFailed as error:
        results, failures = error.results, error.failures
    by_target = {result.target: result for result in results}
    forecasts = []
    for entry in entries:
        name = str(entry.target)
        if failure := failures.get(entry.target):
            forecasts.append(Forecast(name, None, error=failure))
        elif done := by_target.get(name):
            forecasts.append(Forecast(name, done.action, done.blobs, done.size, True, done.source, done.digest))
        else:
            forecasts.append(Forecast(name, None if isinstance(entry, FromBuild) else Action.UPLOADED, exact=False))
    return tuple(forecasts)
