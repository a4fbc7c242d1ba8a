"""All that a sandbox.yaml may say, as one frozen model: every key with its meaning and its default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from sandbox.config import loader
from sandbox.config.loader import CURRENT, Format
from sandbox.config.rules import misfits
from sandbox.config.schema.apply_schema import Addons, Applied
from sandbox.config.schema.certificates_schema import Certs
from sandbox.config.schema.cluster_schema import Cluster, Images
from sandbox.config.schema.credentials_schema import Credentials
from sandbox.config.schema.edge_schema import (
    Edge,
    ResolvedEdge,
    ResolvedTcpPort,
    ResolvedUdpPort,
    ServedPort,
)
from sandbox.config.schema.ingress_schema import Ingress
from sandbox.config.schema.network_schema import Network
from sandbox.config.schema.registry_schema import Registry, ResolvedRegistry
from sandbox.config.schema.values import Domain, Duration, LocalPath, Model, Name, as_name
from sandbox.config.yaml_source import EDGE_KEY, OLD_EDGE_KEY, Giver, KeyPath, ValueOrigin
from sandbox.errors import UsageError

EDGE_KEYS = AliasChoices(EDGE_KEY, OLD_EDGE_KEY)


class Spec(Model):
    """A sandbox: its cluster, registry, certificates and ways in and out.

    It knows where each of its values is from (`origin`), which does not count when specs are compared.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)
    _origins: Mapping[KeyPath, ValueOrigin] = PrivateAttr(default_factory=dict)

    apiVersion: Format = Field(default=CURRENT, description="The version of this format.")
    name: Name = Field(
        default="sandbox",
        description="The sandbox's name: in its containers, its kubectl context and its domain; by default that of "
        "this file's folder.",
    )
    domain: Domain = Field(
        default_factory=lambda fields: f"{fields['name']}.sandbox.localhost",
        description="The domain whose hosts the sandbox answers; by default NAME.sandbox.localhost.",
    )
    cluster: Cluster = Field(default=Cluster(), description="The Kubernetes cluster.")
    images: Images = Field(default=Images(), description="The sandbox's own images.")
    registry: Registry = Field(default=Registry(), description="The private image registry.")
    push: LocalPath | None = Field(
        default=None,
        description="The images.yaml with the images to push into the registry, relative to this file's folder.",
    )
    ingress: Ingress = Field(default=Ingress(), description="What routes HTTPS to services by host name.")
    edge: Edge = Field(
        default=Edge(),
        validation_alias=EDGE_KEYS,
        description="The edge: what listens on the host's ports and routes TLS.",
    )
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
        description="After how many minutes (`30m`) or hours without a client the sandbox is paused; by default "
        "it is never paused automatically.",
    )

    @property
    def pause_seconds(self) -> float | None:
        """Return `pause_after` in seconds."""
        return int(self.pause_after[:-1]) * {"m": 60.0, "h": 3600.0}[self.pause_after[-1]] if self.pause_after else None

    def origin(self, *path: str | int) -> ValueOrigin:
        """Return the origin of the value at `path`; an entry of a default list has the origin of the list."""
        return self._origins.get(path, ValueOrigin())

    def says(self, *path: str | int) -> bool:
        """Tell whether a value was given at `path`, even if it equals the default."""
        return self.origin(*path).giver is not Giver.DEFAULT

    @property
    def old_key(self) -> str | None:
        """Return what to change in a file that has the edge under its earlier name."""
        origin = self.origin(OLD_EDGE_KEY)
        if origin.giver is not Giver.FILE:
            return None
        return f"{origin}: `{OLD_EDGE_KEY}:` is called `{EDGE_KEY}:` now; both names are read"

    def changed(self, update: Mapping[str, Any], origins: Mapping[KeyPath, ValueOrigin]) -> Self:
        """Return a copy with other values of top-level keys, unchecked, and the origins of what differs in them."""
        copy = self.model_copy(update=update)
        copy._origins = {**self._origins, **origins}
        return copy

    def recorded(self) -> Self:
        """Return a copy whose values all count as those of the last `up`."""
        return self.changed({}, {path: ValueOrigin(Giver.RECORDED) for path, _ in _of_program(self)})

    @property
    def proxy(self) -> Edge:
        """Return the edge, by the name that programs of earlier releases have for it."""
        return self.edge

    @property
    def vouched(self) -> tuple[str, ...]:
        """Return the domains that the CA issues for: the sandbox's, and hosts outside it whose TLS ends at the edge."""
        ending = (one.host for one in self.edge.hosts if one.ends)
        outside = (host for host in ending if host != self.domain and not host.endswith("." + self.domain))
        return tuple(dict.fromkeys((self.domain, *outside)))

    @property
    def namespace(self) -> str | None:
        """Return the only namespace that the sandbox may use; None where it has the whole cluster."""
        return None if self.cluster.supports.whole_cluster else self.cluster.namespace or f"sandbox-{self.name}"

    @property
    def runs_process(self) -> bool:
        """Tell whether the edge is a process, since no container may or can reach the cluster."""
        return self.edge.run == "process" or not self.cluster.supports.containers

    @property
    def takes_https_ports(self) -> bool:
        """Tell whether the edge listens for HTTPS: not for a controller of an existing cluster without an address."""
        own = self.ingress.controller != "none" or self.cluster.supports.whole_cluster
        return own or self.ingress.address is not None

    @classmethod
    def default(cls, name: str) -> Self:
        """Return the spec of the sandbox `name` with nothing else said.

        Raises UsageError for a name that cannot be one.
        """
        try:
            return cls(name=name)
        except ValidationError as error:
            meant = as_name(name)
            fix = f"write {meant}; sandbox list shows the names there are" if meant else "sandbox list"
            raise UsageError(f"the name {name!r} {error.errors()[0]['ctx']['error']}", fix=fix) from error

    @model_validator(mode="after")
    def _fits(self, info: ValidationInfo) -> Self:
        self._origins = info.context if info.context is not None else dict(_of_program(self))
        found = misfits(self)
        if found:
            raise loader.Misfits(*found)
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spec) and type(self) is type(other) and dict(self) == dict(other)

    def __hash__(self) -> int:
        return hash((type(self), *dict(self).values()))


class ResolvedSpec(Spec):
    """A spec whose ports are all known: what was `auto` has been chosen."""

    registry: ResolvedRegistry = ResolvedRegistry.model_construct()
    edge: ResolvedEdge = Field(default=ResolvedEdge.model_construct(), validation_alias=EDGE_KEYS)

    @classmethod
    def read(cls, saved: bytes) -> Self:
        """Return the spec that was saved as JSON. Raises ValueError, pydantic's where a value is wrong.

        The validator is that of Spec, which most commands have by then; one for this class takes as long to build.
        """
        spec = Spec.model_validate_json(saved)
        ports = (spec.registry.port, *spec.edge.ports, *(one.port for one in (*spec.edge.tcp, *spec.edge.udp)))
        known = [port for port in ports if port != "auto"]
        if len(known) < len(ports):
            raise ValueError("it has a port that is `auto`")
        registry, *https = known
        return cls.of(spec, registry=registry, https=tuple(https[: len(spec.edge.ports)]))

    @classmethod
    def of(
        cls,
        spec: Spec,
        *,
        registry: int,
        https: tuple[int, ...],
        tcp: Sequence[int] | None = None,
        udp: Sequence[int] | None = None,
    ) -> Self:
        """Return `spec`, which was validated, with these ports, of which those that were `auto` were chosen.

        Without `tcp` and `udp`, those of `edge.tcp` and `edge.udp` are the usual ones.
        """
        opened = {
            "tcp": _opened(ResolvedTcpPort, spec.edge.tcp, tcp),
            "udp": _opened(ResolvedUdpPort, spec.edge.udp, udp),
        }
        fields = {
            **dict(spec),
            "registry": ResolvedRegistry.model_construct(**{**dict(spec.registry), "port": registry}),
            "edge": ResolvedEdge.model_construct(**{**dict(spec.edge), "ports": https, **opened}),
        }
        resolved = cls.model_construct(_fields_set=spec.model_fields_set, **fields)
        resolved._origins = spec._origins
        return resolved


def _opened(
    model: type[ResolvedTcpPort | ResolvedUdpPort], wanted: Sequence[ServedPort], chosen: Sequence[int] | None
) -> tuple[BaseModel, ...]:
    ports = chosen if chosen is not None else [one.usual if one.port == "auto" else one.port for one in wanted]
    return tuple(model.model_construct(**{**dict(one), "port": port}) for one, port in zip(wanted, ports, strict=True))


def _of_program(model: BaseModel, above: KeyPath = ()) -> Iterator[tuple[KeyPath, ValueOrigin]]:
    """Yield the paths of values that a program passed to the models' constructors."""
    for name in model.model_fields_set:
        yield (*above, name), ValueOrigin(Giver.PROGRAM)
        if isinstance(value := getattr(model, name), BaseModel):
            yield from _of_program(value, (*above, name))
