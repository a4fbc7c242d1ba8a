"""The addresses of the registry, the sandbox's own or an external one, for this machine, nodes and pods."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.components.cluster.containerd_hosts import SERVICE
from sandbox.engine import Container, Engine
from sandbox.errors import SandboxError
from sandbox.names import REGISTRY_PORT, SYSTEM_NAMESPACE, Names
from sandbox.oci import address


@dataclass(frozen=True)
class RegistryAddresses:
    """The `names` that images may have on nodes, this machine's own first, and the URL that nodes pull them from.

    `pods` is its `HOST:PORT` for pods; `address` is where their Service leads to, None when they need none.
    """

    names: tuple[str, ...]
    endpoint: str
    pods: str
    address: str | None

    @property
    def runtime(self) -> str:
        return self.endpoint.partition("://")[2]

    @property
    def port(self) -> int:
        return address.parse(self.endpoint).port


def own(engine: Engine, network: str, names: Names, address: str) -> RegistryAddresses:
    """Return the addresses of the sandbox's own registry, called `address` here. Raises SandboxError without any."""
    container = engine.container(names.registry)
    if container is None or network not in container.addresses:
        raise SandboxError(f"the registry has no address on the network {network}", fix="sandbox up")
    return _of_container(container, network, REGISTRY_PORT, address)


def external(engine: Engine, network: str, where: str) -> RegistryAddresses:
    """Return the addresses, on `network`, of an external registry at `where`: `HOST[:PORT]` or a URL of that.

    On a loopback address nodes would look for it in themselves, so they use the container that publishes its port.
    Raises SandboxError when nodes cannot reach it.
    """
    place, name = address.parse(where), where.rpartition("://")[2]
    if not place.is_loopback:
        return RegistryAddresses((name,), f"{place.scheme}://{name}", name, None)
    publisher = engine.publisher(place.port)
    container = engine.container(publisher) if publisher else None
    inner = container.inner(place.port) if container else None
    if container and inner and network in container.addresses:
        return _of_container(container, network, inner, name)
    if container and inner:
        details = f"its container {container.name} is not on the network {network}"
        fix = f"docker network connect {network} {container.name}"
    else:
        nodes = engine.network(network)
        details = "it listens on this machine's loopback, and no container publishes that port"
        fix = (
            f"let it listen on an address of this machine that the network {network} "
            f"({nodes.subnet if nodes else 'made by `up`'}) reaches, and write that one: registry: "
            f"{{external: 'http://ADDRESS:{place.port}'}}"
        )
    raise SandboxError(f"nodes cannot reach the registry {where}", details=details, fix=fix)


def _of_container(container: Container, network: str, port: int, name: str) -> RegistryAddresses:
    """Return the addresses of a registry in a container on the nodes' network, which this machine knows as `name`.

    Images may also be called CONTAINER:PORT with the port of this machine, as k3d has it.
    """
    runtime = f"{container.name}:{port}"
    pods = f"{SERVICE}.{SYSTEM_NAMESPACE}.svc.cluster.local:{port}"
    names = dict.fromkeys((name, runtime, pods, f"{container.name}:{address.parse(name).port}"))
    return RegistryAddresses(tuple(names), f"http://{runtime}", pods, container.addresses[network])
