"""What every part of a plan is built from: the spec, its names, the engine and the system images."""

from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.bundle.store import Store
from sandbox.bundle.system_images import OwnImages
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.certificates.user_certificate import Provided
from sandbox.config.schema import ResolvedSpec
from sandbox.engine import Bind, Engine
from sandbox.names import Home, Names
from sandbox.oci.credential import Keychain
from sandbox.provider import Nodes, Provider


@dataclass(frozen=True, kw_only=True)
class Site:
    """A sandbox to be built: its spec, its names, the engine that has its images, and the system images.

    `keychain` has the accounts at other registries. With `purge` it is to be removed with the data that it would leave.
    """

    spec: ResolvedSpec
    names: Names
    engine: Engine
    own: OwnImages
    keychain: Keychain | None = None
    purge: bool = False

    @property
    def home(self) -> Home:
        return self.names.home

    @property
    def store(self) -> Store:
        return Store(self.home.bundle)

    @property
    def keystore(self) -> Keystore:
        return Keystore(self.names.keys)

    @property
    def provided(self) -> Provided | None:
        """Return the user's certificate for the domain, which takes the place of the sandbox's own."""
        default = self.spec.certs.default
        return Provided(default.cert, default.key) if default else None

    @property
    def binds(self) -> tuple[Bind, ...]:
        return tuple(Bind(self.spec.edge.listen, port) for port in self.spec.edge.ports)


@dataclass(frozen=True, kw_only=True)
class ClusterSite(Site):
    """A sandbox with a cluster of its own; `environ` are the user's variables, which name proxies and accounts.

    With `is_fetched`, others wrote the spec.
    """

    provider: Provider
    environ: Mapping[str, str]
    is_fetched: bool = False

    @property
    def nodes(self) -> Nodes:
        return self.provider.nodes
