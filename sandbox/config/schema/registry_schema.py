"""What a sandbox.yaml may say about registries: the sandbox's own or one instead of it, those inside, and mirrors."""

from typing import Annotated

from pydantic import Field

from sandbox.config.model import Document
from sandbox.config.schema.values import AutoPort, LocalPath, Port, RegistryHost, RegistryUrl, Unique


class Registry(Document):
    """The sandbox's private image registry, plain HTTP."""

    port: AutoPort = Field(
        default="auto",
        description="The registry's port on 127.0.0.1; images are localhost:PORT/NAME. auto: 5001, else the next "
        "free one, kept as long as the registry's data.",
    )
    tls: Annotated[tuple[RegistryHost, ...], Unique] = Field(
        default=(),
        description="Your own registries that run in the cluster, HOST or HOST:PORT as in image names, each inside the "
        "sandbox's domain: the node pulls from them through the ingress, trusting the sandbox's CA.",
    )
    external: RegistryUrl | None = Field(
        default=None,
        description="An existing registry, HOST:PORT, to use instead of the sandbox's own: images are pushed to it and "
        "nodes pull from it. localhost:PORT is reached by http, others by https unless they begin with http://.",
    )
    storage: LocalPath | None = Field(
        default=None,
        description="A folder for the registry's data, relative to this file's folder, which is never removed; by "
        "default a volume of the engine that `down --purge` removes.",
    )
    mirrors: Annotated[tuple[RegistryUrl, ...], Unique] = Field(
        default=(),
        description="Registries whose images nodes pull through a cache next to the cluster, such as docker.io, with "
        "the account of `docker login`; what the cache does not have comes from the registry itself.",
    )


class ResolvedRegistry(Registry):
    """The registry on a port that is known, and its addresses."""

    port: Port = 5001

    @property
    def address(self) -> str:
        """Return the registry as users write it: `localhost:PORT`, or `external` as it is in the spec, maybe a URL."""
        return self.external or self.local_names[0]

    @property
    def image_prefix(self) -> str:
        return self.address.rpartition("://")[2]

    @property
    def push_url(self) -> str:
        """Return its address for this machine: always IPv4 for the sandbox's own, bound on 127.0.0.1 only."""
        return self.external or f"http://127.0.0.1:{self.port}"

    @property
    def local_names(self) -> tuple[str, ...]:
        return f"localhost:{self.port}", f"127.0.0.1:{self.port}"

    @property
    def upstreams(self) -> tuple[str, ...]:
        return tuple(one.rpartition("://")[2] for one in self.mirrors)
