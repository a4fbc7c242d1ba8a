"""What a route of the edge is: the hosts and ports of this machine that a sandbox has, and what they are routed to."""

from __future__ import annotations

from dataclasses import dataclass


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
class Tunnel:
    """A port of this machine's loopback from which all connections go to one server of a cluster, in any protocol."""

    port: int
    upstream: str
    address: str = "127.0.0.1"


@dataclass(frozen=True)
class Port:
    """A TCP port of this machine that is routed to the Service `to` (NAMESPACE/NAME:PORT).

    With `proxy` the server learns of each client by the PROXY protocol. With a `host` it is a port for HTTPS, and only
    clients that ask for that host by TLS (SNI) are routed there. A `balanced` port stands in for the address of a load
    balancer that this machine does not reach.
    """

    port: int
    to: str
    proxy: bool = False
    host: str = ""
    balanced: bool = False

    @property
    def key(self) -> tuple[int, str]:
        """Return what identifies the port among those of a sandbox."""
        return self.port, self.host

    def __str__(self) -> str:
        return self.host or str(self.port)


@dataclass(frozen=True)
class Route:
    """A sandbox's route: `domain` and every host below it go to `upstream`, with TLS untouched.

    `upstream` is a node's name or address, at port 443 unless it has a `:PORT`. `listen` are the addresses and ports of
    this machine that the sandbox asked for. `since` is when the route was made, in seconds since 1970: unknown hosts
    get the newest sandbox's page. `replicas` are further nodes where the ingress answers. `aliases` are other domains
    for the same hosts, whose TLS ends at the edge: the ingress is asked for the host in `domain`. `tunnels` are further
    ports, which only the relay has. `network` is the engine's network where the nodes are. A node gets clients while it
    answers for the host `proof` with status 200, or without `proof` while it accepts connections. `ports` are those of
    the spec and `added_ports` those that a command added; both are on the first address of `listen`, which may be
    empty for the relay. `node_ports` has, for each of their Services, the port that every node has for it, once it is
    known.
    """

    name: str
    domain: str
    upstream: str
    listen: tuple[tuple[str, int], ...]
    since: float = 0.0
    replicas: tuple[str, ...] = ()
    hosts: tuple[Host, ...] = ()
    aliases: tuple[str, ...] = ()
    tunnels: tuple[Tunnel, ...] = ()
    network: str = ""
    proof: str = ""
    ports: tuple[Port, ...] = ()
    added_ports: tuple[Port, ...] = ()
    node_ports: tuple[tuple[str, int], ...] = ()

    @property
    def every_port(self) -> tuple[Port, ...]:
        """Return the ports besides HTTPS; those that commands added come before the spec's."""
        added = {one.key for one in self.added_ports}
        return (*(one for one in self.ports if one.key not in added), *self.added_ports)

    @property
    def tcp_ports(self) -> tuple[Port, ...]:
        """Return the ports that are for one Service each."""
        return tuple(one for one in self.every_port if not one.host)

    @property
    def tls_hosts(self) -> tuple[Port, ...]:
        """Return the ports by which only the clients of one host are routed."""
        return tuple(one for one in self.every_port if one.host)

    def place(self, port: Port) -> tuple[str, int]:
        """Return the address and port of this machine where a port is; the relay has a tunnel for each."""
        tunnels = (one.address for one in self.tunnels if one.port == port.port)
        return next(tunnels, None) or self.listen[0][0], port.port

    @property
    def nodes(self) -> tuple[str, ...]:
        """Return the addresses of the ingress, each as HOST:PORT."""
        return tuple(node if ":" in node else f"{node}:443" for node in (self.upstream, *self.replicas))

    @property
    def takes(self) -> frozenset[tuple[str, int]]:
        """Return every address and TCP port of this machine that it is served on."""
        tunnels = ((one.address, one.port) for one in self.tunnels)
        return frozenset({*self.listen, *tunnels, *map(self.place, self.tcp_ports)})

    @property
    def domains(self) -> tuple[str, ...]:
        """Return the domains of which it has every host, except for those that a longer domain's route has."""
        return (self.domain, *self.aliases)

    @property
    def named(self) -> frozenset[str]:
        """Return the hosts outside its domains, and those with a route of their own."""
        return frozenset((*(one.host for one in self.hosts), *(one.host for one in self.tls_hosts)))

    @property
    def terminates(self) -> bool:
        """Tell whether the TLS of some of its hosts ends at the edge."""
        return bool(self.aliases) or any(host.terminate for host in self.hosts)


@dataclass(frozen=True)
class AddedRoute:
    """A host whose TLS ends at the edge, by a certificate of `sandbox`, routed to `to` (HOST:PORT, HTTP)."""

    host: str
    sandbox: str
    to: str
