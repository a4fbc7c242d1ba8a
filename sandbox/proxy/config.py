"""The edge's HAProxy configuration as text: which file says what, for a set of routes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sandbox.proxy.routes import Route

FOLDER = "/etc/edge"
PORT = 8443
COMMAND = ("haproxy", "-W", "-db", "-f", f"{FOLDER}/haproxy.cfg")

_FRONT = f"""\
global
  log stdout format raw local0 notice
  maxconn 8192
  hard-stop-after 1h

defaults
  mode tcp
  log global
  timeout connect 3s
  timeout client 1m
  timeout server 1m
  timeout tunnel 24h
  timeout client-fin 30s
  retries 3
  option redispatch
  option tcp-smart-accept
  # A node's name also resolves to IPv6, where its host ports do not answer; its address may change with the engine.
  default-server check inter 1s fall 2 rise 1 resolvers engine resolve-prefer ipv4 init-addr last,libc,none

resolvers engine
  nameserver engine 127.0.0.11:53
  resolve_retries 3
  timeout resolve 1s
  timeout retry 1s
  hold valid 5s
  hold nx 2s

frontend https
  bind :{PORT}
  tcp-request inspect-delay 5s
  tcp-request content set-var(txn.host) req.ssl_sni,lower
  tcp-request content accept if {{ req.ssl_hello_type 1 }}
  tcp-request content reject
  use_backend %[var(txn.host),map_str({FOLDER}/exact.map)] if {{ var(txn.host),map_str({FOLDER}/exact.map) -m found }}
  use_backend %[var(txn.host),map_end({FOLDER}/suffix.map)] if {{ var(txn.host),map_end({FOLDER}/suffix.map) -m found }}
"""


def render(routes: Sequence[Route]) -> Mapping[str, str]:
    """File name -> content; `routes` are oldest first, and whoever asks for no known host gets the newest's page."""
    backends = "".join(
        # Both ends speak the PROXY protocol, so that applications see the client and not this container.
        f"\nbackend {route.name}\n  server node {route.upstream}:443 send-proxy-v2\n"
        for route in routes
    )
    default = f"  default_backend {routes[-1].name}\n" if routes else ""
    # The most specific suffix is found first.
    longest_first = sorted(routes, key=lambda route: -len(route.domain))
    return {
        "haproxy.cfg": _FRONT + default + backends,
        "exact.map": "".join(f"{route.domain} {route.name}\n" for route in longest_first),
        "suffix.map": "".join(f".{route.domain} {route.name}\n" for route in longest_first),
    }
