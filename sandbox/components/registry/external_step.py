"""The addresses of the registry for nodes and pods, and the steps for one that others made."""

from dataclasses import dataclass

from sandbox.components.cluster.containerd_hosts import SERVICE
from sandbox.components.registry import container_step
from sandbox.engine import Container, Engine
from sandbox.errors import SandboxError
from sandbox.names import REGISTRY_PORT, SYSTEM_NAMESPACE, Names
from sandbox.oci import address
from sandbox.oci.client import Client
from sandbox.oci.credential import Keychain
from sandbox.oci.oci_errors import RegistryError
from sandbox.step import NothingToUndo, State, Status, Work


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

    Raises SandboxError when nodes cannot reach it.
    """
    place, name = address.parse(where), where.rpartition("://")[2]
    if not place.is_loopback:
        return RegistryAddresses((name,), f"{place.scheme}://{name}", name, None)
    # On a loopback address nodes would look for it in themselves.
    publisher = engine.publisher(place.port)
    container = engine.container(publisher) if publisher else None
    inner = container.inner(place.port) if container else None
    if container and inner and network in container.addresses:
        return _of_container(container, network, inner, name)
    if container and inner:
        details = f"its container {container.name} is not on the network {network}"
        fix = f"docker network connect {network} {container.name}"
    else:
        details = "it listens on this machine's loopback, and no container publishes that port"
        fix = (
            f"let it listen on an address that the network {network} reaches, and write that one: "
            f"registry: {{external: 'http://ADDRESS:{place.port}'}}"
        )
    raise SandboxError(f"nodes cannot reach the registry {where}", details=details, fix=fix)


def _of_container(container: Container, network: str, port: int, name: str) -> RegistryAddresses:
    # Images may also be called CONTAINER:PORT with the port of this machine, as k3d has it.
    runtime = f"{container.name}:{port}"
    pods = f"{SERVICE}.{SYSTEM_NAMESPACE}.svc.cluster.local:{port}"
    names = dict.fromkeys((name, runtime, pods, f"{container.name}:{address.parse(name).port}"))
    return RegistryAddresses(tuple(names), f"http://{runtime}", pods, container.addresses[network])


def require_answer(where: str, keychain: Keychain | None = None) -> None:
    """Return when a registry answers, even if it or its token server asks for an account. Raises RegistryError."""
    try:
        with Client(where, keychain=keychain) as client:
            client.ping()
    except RegistryError as error:
        if error.status not in (401, 403):
            raise


@dataclass(frozen=True)
class ExternalRegistryStep:
    """Tests whether this machine and the nodes reach it; removes the sandbox's own registry, whose data stays."""

    engine: Engine
    network: str
    names: Names
    where: str
    purge: bool
    name: str = "registry"
    requires: tuple[str, ...] = ("images", "network")

    @property
    def title(self) -> str:
        return f"Registry {self.where}, not ours"

    def check(self) -> Status:
        if self.engine.container(self.names.registry):
            return Status(State.DRIFTED, f"the sandbox's own {self.names.registry} is still there")
        try:
            require_answer(self.where)
        except RegistryError as error:
            return Status(State.ABSENT, error.brief)
        endpoint = external(self.engine, self.network, self.where).endpoint
        return Status(State.READY, f"answers; nodes go to {endpoint}")

    def apply(self, work: Work) -> None:
        require_answer(self.where)  # else the sandbox would have no registry at all
        container_step.remove(self.engine, self.names, purge=False)
        require_answer(self.where)  # or it was the sandbox's own, by its port

    def undo(self) -> bool:
        return container_step.remove(self.engine, self.names, purge=self.purge)


@dataclass(frozen=True)
class TeamRegistryStep(NothingToUndo):
    """Makes nothing; ready when the registry answers, even if it asks for an account."""

    where: str
    keychain: Keychain | None
    name: str = "registry"
    requires: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"Registry {self.where}, not ours"

    def check(self) -> Status:
        try:
            require_answer(self.where, self.keychain)
        except RegistryError as error:
            return Status(State.ABSENT, error.brief)
        return Status(State.READY, "answers; nodes pull from it by their own configuration")

    def apply(self, work: Work) -> None:
        require_answer(self.where, self.keychain)
