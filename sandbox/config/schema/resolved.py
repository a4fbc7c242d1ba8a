"""A spec whose ports are known, so that what is built from it never meets a port that is yet to be chosen."""

from __future__ import annotations

from typing import Self

from sandbox.config.schema.edge_schema import Proxy
from sandbox.config.schema.registry_schema import Registry
from sandbox.config.schema.spec import Spec
from sandbox.config.schema.values import Port, Ports


class ResolvedRegistry(Registry):
    """The registry on a port that is known, and its addresses."""

    port: Port = 5001

    @property
    def address(self) -> str:
        """The registry as users write it: `localhost:PORT`, or `external` as it is in the spec, maybe a URL."""
        return self.external or self.local_names[0]

    @property
    def image_prefix(self) -> str:
        """What names of its images begin with on this machine and in manifests, such as `localhost:5001`."""
        return self.address.rpartition("://")[2]

    @property
    def push_url(self) -> str:
        """Where this machine reaches it: always IPv4 for the sandbox's own, whose port is bound on 127.0.0.1 only."""
        return self.external or f"http://127.0.0.1:{self.port}"

    @property
    def local_names(self) -> tuple[str, ...]:
        """The HOST:PORT of the sandbox's own on this machine, as images may be named: localhost first."""
        return f"localhost:{self.port}", f"127.0.0.1:{self.port}"

    @property
    def upstreams(self) -> tuple[str, ...]:
        """The mirrored registries as image names begin."""
        return tuple(one.rpartition("://")[2] for one in self.mirrors)


class ResolvedProxy(Proxy):
    """The proxy on ports that are known."""

    ports: Ports = (443, 8443)


class ResolvedSpec(Spec):
    """A spec whose ports are all known: what was `auto` has been chosen."""

    registry: ResolvedRegistry = ResolvedRegistry()
    proxy: ResolvedProxy = ResolvedProxy()

    @classmethod
    def of(cls, spec: Spec, *, registry: int, https: tuple[int, ...]) -> Self:
        """`spec`, which was validated, on these ports, of which those that were `auto` were chosen apart from all."""
        fields = {
            **dict(spec),
            "registry": ResolvedRegistry.model_construct(**{**dict(spec.registry), "port": registry}),
            "proxy": ResolvedProxy.model_construct(**{**dict(spec.proxy), "ports": https}),
        }
        resolved = cls.model_construct(_fields_set=spec.model_fields_set, **fields)
        resolved._origins = spec._origins
        return resolved
