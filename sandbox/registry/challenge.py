"""The `WWW-Authenticate` challenge of a registry: where to ask for a token, for which service and scope."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^",\s]+))')


@dataclass(frozen=True)
class Challenge:
    """A Bearer challenge (Distribution token authentication, RFC 6750 section 3)."""

    realm: str
    service: str | None
    scope: str | None

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the token request."""
        return {key: value for key, value in (("service", self.service), ("scope", self.scope)) if value}


def parse(header: str) -> Challenge | None:
    """The Bearer challenge in `header`, or None when the registry wants another scheme."""
    scheme, _, rest = header.strip().partition(" ")
    if scheme.lower() != "bearer":
        return None
    values = {key.lower(): quoted or bare for key, quoted, bare in _PARAMETER.findall(rest)}
    if not values.get("realm"):
        return None
    return Challenge(values["realm"], values.get("service"), values.get("scope"))
