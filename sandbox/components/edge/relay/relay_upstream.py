"""How the passthrough reaches a cluster's ingress: at an address, or by port-forward through its API server."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit

SCHEME = "port-forward"
PLAIN = "plain"
PORT = 443


@dataclass(frozen=True)
class Direct:
    """An address; unless `plain` it takes the PROXY protocol, as the edge's upstreams do."""

    host: str
    port: int = PORT
    plain: bool = False


@dataclass(frozen=True)
class Forwarded:
    """A port of the pods of `target` (`deployment/NAME`); `kubectl` and `kubeconfig` are paths.

    `speaks` is what a server there answers to: `tls`, or `http` without TLS.
    """

    kubectl: str
    kubeconfig: str
    namespace: str
    target: str
    port: int
    speaks: str = "tls"


Upstream: TypeAlias = Direct | Forwarded


def parse(text: str) -> Upstream:
    """Return what a route's `upstream` means: `[plain:]HOST[:PORT]`, or what `write` made; raises ValueError."""
    if text.startswith(f"{SCHEME}:"):
        fields = dict(parse_qsl(urlsplit(text).query, strict_parsing=True))
        try:
            return Forwarded(**{**fields, "port": int(fields["port"])})  # type: ignore[arg-type]
        except (KeyError, TypeError) as error:
            raise ValueError(f"{text} is no port-forward") from error
    plain = text.startswith(f"{PLAIN}:")
    parts = urlsplit(f"//{text.removeprefix(f'{PLAIN}:')}")
    if not parts.hostname:
        raise ValueError(f"{text} is no address")
    return Direct(parts.hostname, parts.port or PORT, plain)


def write(upstream: Forwarded) -> str:
    """Return a port-forward as a route's `upstream`."""
    return f"{SCHEME}:?{urlencode(asdict(upstream))}"
