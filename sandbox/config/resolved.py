"""A spec whose ports are known, so that what is built from it never meets a port that is yet to be chosen."""

from __future__ import annotations

from typing import Self

from sandbox.config.schema.edge_schema import Proxy
from sandbox.config.schema.registry_schema import Registry
from sandbox.config.schema.spec import Spec
from sandbox.config.schema.values import Port, Ports


class SettledRegistry(Registry):
    """The registry on a port that is known."""

    port: Port = 5001


class SettledProxy(Proxy):
    """The proxy on ports that are known."""

    ports: Ports = (443, 8443)


class Settled(Spec):
    """A spec whose ports are all known: what was `auto` has been chosen."""

    registry: SettledRegistry = SettledRegistry()
    proxy: SettledProxy = SettledProxy()

    @classmethod
    def of(cls, spec: Spec, *, registry: int, https: tuple[int, ...]) -> Self:
        """`spec` on these ports; raises pydantic's ValidationError for ports that do not go together."""
        fields = {name: getattr(spec, name) for name in spec.model_fields_set - {"registry", "proxy"}}
        return cls(
            **fields,
            registry=SettledRegistry(**{**dict(spec.registry), "port": registry}),
            proxy=SettledProxy(**{**dict(spec.proxy), "ports": https}),
        )
