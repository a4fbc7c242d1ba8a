"""The `WWW-Authenticate` challenges of a registry: where to ask for a token, for which service and scope."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PARAMETER = re.compile(r'(?:([A-Za-z][\w-]*)\s+)?([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^",\s]+))')
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True)
class Challenge:
    """A Bearer challenge (Distribution token authentication, RFC 6750 section 3)."""

    realm: str
    service: str | None
    scope: str | None


def parse(header: str) -> Challenge | None:
    """Return the Bearer challenge in `header`, which may hold several of any scheme; None when there is none."""
    values = _challenges(header).get("bearer", {})
    if not values.get("realm"):
        return None
    return Challenge(values["realm"], values.get("service"), values.get("scope"))


def takes_password(header: str) -> bool:
    """Tell whether `header` offers the Basic scheme (RFC 7617)."""
    return "basic" in _challenges(header)


def _challenges(header: str) -> dict[str, dict[str, str]]:
    """Return the parameters of each scheme, by its name in lower case (RFC 9110, 11.6.1)."""
    found: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for scheme, key, quoted, bare in _PARAMETER.findall(header):
        if scheme:
            current = found.setdefault(scheme.lower(), {})
        current[key.lower()] = _ESCAPED.sub(r"\1", quoted) or bare
    return found
