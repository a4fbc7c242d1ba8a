"""The addons that come with the sandbox, and the way from what a spec or a command names to an addon."""

from __future__ import annotations

from pathlib import Path

from sandbox.components.addons.addon import FILE, Addon, read
from sandbox.errors import UsageError

INCLUDED = Path(__file__).parent / "included"


def included() -> tuple[Addon, ...]:
    """The sandbox's own addons, and those that are a setting of the spec, by name."""
    return tuple(read(path.parent) for path in sorted(INCLUDED.glob(f"*/{FILE}")))


def find(source: str) -> Addon:
    """The addon of that name, or the user's own in that folder (an absolute path). Raises UsageError."""
    if "/" in source:
        return read(Path(source))
    known = {addon.name: addon for addon in included()}
    if source not in known:
        names = ", ".join(name for name, addon in known.items() if addon.about.instead is None)
        raise UsageError(
            f"there is no addon '{source}'", fix=f"there is: {names}; for a folder of yours write ./{source}"
        )
    instead = known[source].about.instead
    if instead is not None:
        raise UsageError(f"'{source}' is a part of the sandbox, not an addon", fix=f"in sandbox.yaml, write {instead}")
    return known[source]
