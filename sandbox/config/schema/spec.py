"""All that a sandbox.yaml may say, as one frozen model: every key with its meaning and its default."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from pydantic import Field

from sandbox.config.loader import CURRENT, DEFAULT, PROGRAM, RECORDED, Format
from sandbox.config.model import Document
from sandbox.config.problems import Misfits
from sandbox.config.rules import misfits
from sandbox.config.schema.apply_schema import Addons, Applied
from sandbox.config.schema.cluster_schema import Cluster, Images, Network, Registry, ResolvedRegistry
from sandbox.config.schema.credentials_schema import Credentials
from sandbox.config.schema.edge_schema import Certs, Edge, Ingress, ResolvedEdge, ResolvedTcpPort
from sandbox.config.schema.values import Domain, Duration, LocalPath, Name, checked_name
from sandbox.config.yaml_text import KeyPath
from sandbox.errors import UsageError
from sandbox.names import is_below, moved_host


class Spec(Document):
    """A sandbox: its cluster, registry, certificates and ways in and out.

    It knows where each of its values is from (`origin`), which does not count when specs are compared.
    """

    apiVersion: Format = Field(default=CURRENT, description="The version of this format.")
    name: Name = Field(
        default="sandbox",
        description="The sandbox's name: in its containers, its kubectl context and its domain. A linked git worktree "
        "adds its branch: shop-fix-login.  [default: that of the repository's main folder, or of this file's folder]",
    )
    domain: Domain = Field(
        default_factory=lambda data: f"{data['name']}.sandbox.localhost",
        description="The domain whose hosts the sandbox answers. A sandbox with another name than this file's has it "
        "with that name: shop-fix-login.example.com.  [default: NAME.sandbox.localhost]",
    )
    base_domain: Domain = Field(
        default_factory=lambda data: data["domain"],
        description="The domain of the hosts in this file and in manifests, which are served below the sandbox's own "
        "domain.  [default: the domain of a sandbox with this file's name]",
    )
    rewrite_settings: bool = Field(
        default=False,
        description="Also change hosts below `base_domain` in other objects, except names, labels and "
        "images; by default, a note names them.",
    )
    cluster: Cluster = Field(default=Cluster(), description="The Kubernetes cluster.")
    images: Images = Field(default=Images(), description="The sandbox's own images.")
    registry: Registry = Field(default=Registry(), description="The private image registry.")
    push: LocalPath | None = Field(
        default=None,
        description="The images.yaml with the images to push into the registry, relative to this file's folder.",
    )
    ingress: Ingress = Field(default=Ingress(), description="What routes HTTPS to services by host name.")
    edge: Edge = Field(default=Edge(), description="The edge: what listens on the host's ports and routes TLS.")
    network: Network = Field(default=Network(), description="How pods reach the internet and other networks.")
    certs: Certs = Field(default=Certs(), description="The certificates.")
    credentials: tuple[Credentials, ...] = Field(
        default=(), description="Accounts at other registries, for pods and for pushed images."
    )
    addons: Addons = Field(default=(), description="Addons for the cluster: names, folders, or an addon with values.")
    apply: Applied = Field(
        default=(),
        description="What to apply, relative to this file's folder: files and folders of manifests in this order, "
        "folders with a kustomization, and Helm charts.",
    )
    pause_after: Duration | None = Field(
        default=None,
        description="After how many minutes (`30m`) or hours without a client the sandbox is paused.  [default: never]",
    )

    _origins: Mapping[KeyPath, str] | None = None

    @property
    def pause_seconds(self) -> float | None:
        return int(self.pause_after[:-1]) * {"m": 60.0, "h": 3600.0}[self.pause_after[-1]] if self.pause_after else None

    def origin(self, *path: str | int) -> str:
        """Return who gave the value at `path`: FILE:LINE, an option, or a word such as `default`."""
        return self._known_origins.get(path, DEFAULT)

    def says(self, *path: str | int) -> bool:
        """Return whether a value was given at `path`, even if it equals the default."""
        return path in self._known_origins

    def changed(self, update: Mapping[str, Any], origins: Mapping[KeyPath, str]) -> Self:
        """Return a copy with other values of top-level keys, unchecked, and the origins of what differs in them."""
        copy = self.model_copy(update=update)
        copy._origins = {**self._known_origins, **origins}
        return copy

    @property
    def vouched(self) -> tuple[str, ...]:
        """Return the domains that the CA issues for: the sandbox's, and hosts outside it whose TLS ends at the edge."""
        outside = (each.host for each in self.edge.hosts if each.ends and not is_below(each.host, self.domain))
        return tuple(dict.fromkeys((self.domain, *outside)))

    @property
    def namespace(self) -> str | None:
        return None if self.cluster.supports.whole_cluster else self.cluster.namespace or f"sandbox-{self.name}"

    @property
    def runs_process(self) -> bool:
        return self.edge.run == "process" or not self.cluster.supports.containers

    @property
    def takes_https_ports(self) -> bool:
        """Return whether the edge listens for HTTPS: not for a controller of an existing cluster without an address."""
        own = self.ingress.controller != "none" or self.cluster.supports.whole_cluster
        return own or self.ingress.address is not None

    @classmethod
    def default(cls, name: str) -> Self:
        try:
            checked_name(name)
        except ValueError as error:
            raise UsageError(f"the name {name!r} {error}", fix="sandbox list shows the names there are") from error
        return cls(name=name).placed({("name",): PROGRAM})

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """Return the spec with this data, which a program gives. Raises ValueError, pydantic's for a single value."""
        given = dict.fromkeys(_paths(obj), PROGRAM)
        return super().model_validate(obj, **options).placed(given)

    @property
    def is_checked(self) -> bool:
        return self._origins is not None

    def placed(self, origins: Mapping[KeyPath, str]) -> Self:
        """Return the spec with the origins of its values. Raises Misfits where they do not fit together.

        Hosts of the base domain are moved below the sandbox's own.
        """

        def moved(host: str) -> str:
            name, colon, port = host.partition(":")
            return f"{moved_host(name, self.base_domain, self.domain)}{colon}{port}"

        def routed(entries: Sequence[Any]) -> tuple[Any, ...]:
            return tuple(entry.model_copy(update={"host": moved(entry.host)}) for entry in entries)

        spec = self.model_copy()
        if self.base_domain != self.domain:
            certs, edge, registry = self.certs, self.edge, self.registry
            secrets = (each.model_copy(update={"hosts": tuple(map(moved, each.hosts))}) for each in certs.secrets)
            spec = self.model_copy(
                update={
                    "certs": certs.model_copy(update={"secrets": tuple(secrets)}),
                    "edge": edge.model_copy(update={"hosts": routed(edge.hosts), "tls": routed(edge.tls)}),
                    "registry": registry.model_copy(update={"tls": tuple(map(moved, registry.tls))}),
                }
            )
        spec._origins = origins
        if wrong := misfits(spec):
            raise Misfits(*wrong)
        return spec

    @property
    def _known_origins(self) -> Mapping[KeyPath, str]:
        if self._origins is not None:
            return self._origins
        return dict.fromkeys(_paths(self), PROGRAM)  # a program made it

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and dict(self) == dict(other)

    __hash__ = Document.__hash__


class ResolvedSpec(Spec):
    """A spec whose ports are all known: what was `auto` has been chosen."""

    registry: ResolvedRegistry = ResolvedRegistry()
    edge: ResolvedEdge = ResolvedEdge()

    @classmethod
    def read(cls, saved: bytes) -> Self:
        """Return the spec that was saved as JSON. Raises ValueError, pydantic's where a value is wrong."""
        spec = cls.model_validate_json(saved)
        return spec.placed(dict.fromkeys(_paths(spec), RECORDED))

    @classmethod
    def of(cls, spec: Spec, *, registry: int, https: tuple[int, ...], tcp: Sequence[int] | None = None) -> Self:
        """Return `spec`, which was validated, with these ports, of which those that were `auto` were chosen.

        Without `tcp`, those of `edge.tcp` are the usual ones.
        """
        if tcp is None:
            tcp = [each.usual if each.port == "auto" else each.port for each in spec.edge.tcp]
        opened = [
            ResolvedTcpPort(**{**dict(each), "port": port}) for each, port in zip(spec.edge.tcp, tcp, strict=True)
        ]
        own_registry = ResolvedRegistry(**{**dict(spec.registry), "port": registry})
        edge = ResolvedEdge(**{**dict(spec.edge), "ports": https, "tcp": tuple(opened)})
        resolved = cls(**{**dict(spec), "registry": own_registry, "edge": edge})
        resolved._origins = spec._known_origins
        return resolved


def _paths(data: Any, above: KeyPath = ()) -> Iterator[KeyPath]:
    if isinstance(data, Document):
        data = {name: value for name, value in data if name in data.model_fields_set}
    if isinstance(data, Mapping):
        for name, value in data.items():
            yield (*above, name)
            yield from _paths(value, (*above, name))
