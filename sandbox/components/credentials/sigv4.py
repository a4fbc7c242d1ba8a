"""AWS Signature Version 4: proves that a request is from who has the secret key, without sending it.

The AWS SDK for Python would bring 14 MB of service descriptions for two requests.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import reduce
from urllib.parse import quote, urlsplit

ALGORITHM = "AWS4-HMAC-SHA256"
END = "aws4_request"


@dataclass(frozen=True)
class Keys:
    """An access key; `session` comes with keys that end."""

    access: str
    secret: str = field(repr=False)
    session: str = field(default="", repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every text that would give the keys away."""
        return tuple(filter(None, (self.secret, self.session)))


@dataclass(frozen=True)
class Scope:
    """What a signature is good for."""

    region: str
    service: str


def signed(
    method: str, url: str, headers: Mapping[str, str], body: bytes, keys: Keys, scope: Scope, *, now: datetime
) -> dict[str, str]:
    """The headers to send, all of them signed, `Authorization` last; `url` has no query.

    AWS General Reference, "Create a signed AWS API request".
    """
    parts = urlsplit(url)
    time = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    sent = {**headers, "Host": parts.netloc, "X-Amz-Date": time}
    if keys.session:
        sent["X-Amz-Security-Token"] = keys.session
    canonical = {name.lower(): " ".join(value.split()) for name, value in sent.items()}
    names = ";".join(sorted(canonical))
    lines = (f"{name}:{canonical[name]}" for name in sorted(canonical))
    request = "\n".join((method, quote(parts.path or "/"), "", *lines, "", names, hashlib.sha256(body).hexdigest()))
    steps = (time[:8], scope.region, scope.service, END)
    place = "/".join(steps)
    to_sign = "\n".join((ALGORITHM, time, place, hashlib.sha256(request.encode()).hexdigest()))
    key = reduce(_hmac, steps, f"AWS4{keys.secret}".encode())
    signature = _hmac(key, to_sign).hex()
    sent["Authorization"] = (
        f"{ALGORITHM} Credential={keys.access}/{place}, SignedHeaders={names}, Signature={signature}"
    )
    return sent


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
