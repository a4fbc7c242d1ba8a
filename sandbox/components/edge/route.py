"""Routes of the edge: hosts and ports of this machine, and the servers that they are routed to."""

import shlex
import zlib
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import SandboxError

INGRESS, REGISTRY = "ingress", "registry"
LOOPBACK = "127.0.0.1"
_LOCAL = range(10240, 32000)  # below the ports of outgoing connections (net.ipv4.ip_local_port_range)


@dataclass(frozen=True)
class Host:
    """One exact host with a route of its own.

    With `terminate` its TLS ends at the edge, which then asks the sandbox's ingress or, if given, `to`: a `HOST:PORT`
    outside the cluster that speaks plain HTTP.
    """

    host: str
    terminate: bool = False
    to: str | None = None


@dataclass(frozen=True)
class Forward:
    """A `kubectl port-forward` to a port of `target` (`deployment/NAME`, `service/NAME`), for unreachable clusters.

    `name` is what the edge needs it for: INGRESS, REGISTRY or the Service of a `Port`. A Service's port may be a name.
    """

    name: str
    target: str
    port: str
    namespace: str
    kubeconfig: str

    @property
    def local(self) -> int:
        """Return the port of this machine's loopback where kubectl listens, the same whenever it is asked for."""
        return _LOCAL[zlib.crc32(repr(self).encode()) % len(_LOCAL)]


@dataclass(frozen=True)
class Port:
    """A TCP port of this machine that is routed to the Service `to` (NAMESPACE/NAME:PORT).

    With `proxy` the server learns of each client by the PROXY protocol. With a `host` it is a port for HTTPS, and only
    clients that ask for that host by TLS (SNI) are routed there.
    """

    port: int
    to: str
    proxy: bool = False
    host: str = ""

    def __str__(self) -> str:
        return self.host or str(self.port)


@dataclass(frozen=True)
class Route:
    """A sandbox's route: `domain` and every host below it go to `upstream`, with TLS untouched.

    `upstream` is a node's address, at port 443 unless it has a `:PORT`; empty where a port-forward leads to the
    ingress. Unless `proxied`, it does not get the PROXY protocol. `listen` are the addresses and ports of this machine
    for HTTPS. `since` is when the route was made, in seconds since 1970: unknown hosts get the newest sandbox's page.
    `replicas` are further nodes where the ingress answers. `aliases` are other domains for the same hosts, whose TLS
    ends at the edge: the ingress is asked for the host in `domain`. `network` is the engine's network of the nodes. A
    node gets clients while it answers for the host `proof` with status 200, or without `proof` while it accepts
    connections. `hosts` and `ports` are those of the spec, `added_hosts` and `added_ports` those that a command added;
    ports are on `address`. `node_ports` has, for each of their Services, the port that every node has for it, once
    that exists.
    """

    name: str
    domain: str
    upstream: str
    listen: tuple[tuple[str, int], ...]
    since: float = 0.0
    replicas: tuple[str, ...] = ()
    hosts: tuple[Host, ...] = ()
    added_hosts: tuple[Host, ...] = ()
    aliases: tuple[str, ...] = ()
    network: str = ""
    proof: str = ""
    proxied: bool = True
    address: str = LOOPBACK
    forwards: tuple[Forward, ...] = ()
    ports: tuple[Port, ...] = ()
    added_ports: tuple[Port, ...] = ()
    node_ports: tuple[tuple[str, int], ...] = ()

    @property
    def every_host(self) -> tuple[Host, ...]:
        """Return the hosts with a route of their own; those that commands added replace the spec's."""
        added = {host.host for host in self.added_hosts}
        return (*(host for host in self.hosts if host.host not in added), *self.added_hosts)

    @property
    def every_port(self) -> tuple[Port, ...]:
        """Return the ports besides HTTPS; those that commands added replace the spec's."""
        added = {(port.port, port.host) for port in self.added_ports}
        return (*(port for port in self.ports if (port.port, port.host) not in added), *self.added_ports)

    @property
    def tcp_ports(self) -> tuple[Port, ...]:
        return tuple(port for port in self.every_port if not port.host)

    @property
    def tls_hosts(self) -> tuple[Port, ...]:
        return tuple(port for port in self.every_port if port.host)

    def place(self, port: Port) -> tuple[str, int]:
        return self.address, port.port

    def forward(self, name: str) -> str | None:
        return next((f"{LOOPBACK}:{forward.local}" for forward in self.forwards if forward.name == name), None)

    @property
    def nodes(self) -> tuple[str, ...]:
        if forward := self.forward(INGRESS):
            return (forward,)
        return tuple(node if ":" in node else f"{node}:443" for node in (self.upstream, *self.replicas) if node)

    @property
    def takes(self) -> frozenset[tuple[str, int]]:
        return frozenset({*self.listen, *map(self.place, self.tcp_ports)})

    @property
    def domains(self) -> tuple[str, ...]:
        """Return the domains of which it has every host, except for those that a longer domain's route has."""
        return (self.domain, *self.aliases)

    @property
    def named(self) -> frozenset[str]:
        """Return the hosts outside its domains, and those with a route of their own."""
        return frozenset((*(host.host for host in self.every_host), *(port.host for port in self.tls_hosts)))

    @property
    def ending(self) -> tuple[str, ...]:
        """Return the hosts whose TLS ends at the edge, which has a certificate for them."""
        hosts = {host.host for host in self.every_host if host.terminate}
        return tuple(sorted(hosts | {name for alias in self.aliases for name in (alias, f"*.{alias}")}))

    @property
    def leaving(self) -> tuple[str, ...]:
        return tuple(sorted({host.host for host in self.every_host if host.to}))


@dataclass(frozen=True)
class AddedRoute:
    host: str
    sandbox: str
    to: str


@dataclass(frozen=True)
class RegistryRoute:
    """The loopback port of a sandbox's registry, which the edge serves.

    `server` is the registry's HOST:PORT on the engine's `network`, empty where a port-forward leads there. `names` are
    the hosts, besides those of the loopback, that clients may ask for.
    """

    sandbox: str
    port: int
    server: str = ""
    names: tuple[str, ...] = ()
    network: str = ""
    forward: Forward | None = None

    @property
    def section(self) -> str:
        """Return the name of the HAProxy frontend and backend for this registry."""
        return f"registry:{self.sandbox}"

    @property
    def upstream(self) -> str:
        return f"{LOOPBACK}:{self.forward.local}" if self.forward else self.server

    @property
    def place(self) -> tuple[str, int]:
        return LOOPBACK, self.port


def damaged(path: Path, error: Exception) -> SandboxError:
    fix = f"rm -r {shlex.quote(str(path))}, then sandbox up"
    return SandboxError(f"{path} is not a route", details=str(error), fix=fix, id="route")
