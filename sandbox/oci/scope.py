"""What a request does to which repository, in the words token servers use; pure.

Distribution specification of the `resourcetype:name:action` scopes: "Token Scope Documentation".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qs, urlsplit

Grants = frozenset[tuple[str, str]]
"""Pairs of a resource (`repository:team/app`) and one action on it (`pull`)."""

_REPOSITORY = re.compile(r"/v2/(.+)/(?:manifests|blobs|tags)/.*")
_ACTIONS = {"GET": ("pull",), "HEAD": ("pull",), "DELETE": ("delete", "pull")}


def needed(method: str, url: str) -> Grants:
    """Return what a request of the Distribution API takes; empty where it concerns no repository."""
    parts = urlsplit(url)
    found = _REPOSITORY.fullmatch(parts.path)
    if found is None:
        return frozenset()
    actions = _ACTIONS.get(method, ("pull", "push"))
    sources = parse_qs(parts.query).get("from", ()) if method == "POST" else ()
    return frozenset(
        [(f"repository:{found[1]}", action) for action in actions]
        + [(f"repository:{source}", "pull") for source in sources]
    )


def read(text: str | None) -> Grants:
    """Return the grants in a challenge's `scope`: several are separated by spaces."""
    pairs: list[tuple[str, str]] = []
    for scope in (text or "").split():
        resource, colon, actions = scope.rpartition(":")
        if colon:
            pairs += [(resource, action) for action in actions.split(",") if action]
    return frozenset(pairs)


def write(grants: Grants) -> tuple[str, ...]:
    """Return the scopes to ask a token server for, one for each resource."""
    return tuple(f"{name}:{','.join(_actions(grants, name))}" for name in sorted({name for name, _ in grants}))


def _actions(grants: Iterable[tuple[str, str]], resource: str) -> list[str]:
    return sorted(action for name, action in grants if name == resource)
