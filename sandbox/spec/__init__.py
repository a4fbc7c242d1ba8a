"""What a sandbox.yaml may say: every key, its meaning, its default and what is refused, as frozen models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from sandbox import document
from sandbox.errors import UsageError
from sandbox.spec.addons import Addons
from sandbox.spec.credentials import Credentials
from sandbox.spec.network import Network
from sandbox.spec.values import (
    Address,
    AutoPort,
    AutoPorts,
    Domain,
    Host,
    Label,
    LocalPath,
    Name,
    OneNode,
    Port,
    Ports,
    RegistryHost,
    RegistryUrl,
    Release,
    Subdomain,
    Unique,
    Upstream,
)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _host_alone(value: Any) -> Any:
    return {"host": value} if isinstance(value, str) else value


class Cluster(_Model):
    """The Kubernetes cluster."""

    provider: Literal["kind"] = Field(default="kind", description="What runs the cluster.")
    kubernetes: Release | None = Field(
        default=None,
        description="The Kubernetes version, such as v1.36.3; by default the one this release of sandbox is made for.",
    )
    nodes: OneNode = Field(default=1, description="How many nodes; one for now.")


class Images(_Model):
    """The sandbox's own images: node, registry, ingress, proxy."""

    source: Literal["auto", "upstream", "bundle"] = Field(
        default="auto",
        description="Where the sandbox's own images come from: their upstream registries, a bundle built or loaded "
        "on this machine, or whichever works.",
    )


class Registry(_Model):
    """The sandbox's private image registry, plain HTTP."""

    port: AutoPort = Field(
        default=5001,
        description="The registry's port on 127.0.0.1; images are localhost:PORT/NAME. auto: 5001, else the next free "
        "one, and the same again as long as the registry is there.",
    )
    tls: Annotated[tuple[RegistryHost, ...], Unique] = Field(
        default=(),
        description="Registries of yours that run in the cluster, HOST or HOST:PORT as in image names, each inside the "
        "sandbox's domain: the node pulls from them through the ingress, trusting the sandbox's authority.",
    )
    external: RegistryUrl | None = Field(
        default=None,
        description="A registry that is there already, HOST:PORT, to use instead of one of the sandbox's own: images "
        "are pushed to it and nodes pull from it. localhost:PORT is spoken to by http, others by https unless http:// "
        "is written before it.",
    )
    storage: LocalPath | None = Field(
        default=None,
        description="A folder for the registry's data, relative to this file's folder, which is never removed; by "
        "default a volume of the engine that `down --purge` removes.",
    )
    mirrors: Annotated[tuple[RegistryUrl, ...], Unique] = Field(
        default=(),
        description="Registries whose images nodes are to take from a cache beside the cluster, such as docker.io, "
        "with the account of `docker login`; what the cache cannot give comes from the registry itself.",
    )


class Ingress(_Model):
    """What routes HTTPS to services by host name."""

    controller: Literal["traefik", "nginx", "none"] = Field(
        default="traefik",
        description="The ingress controller: Traefik, the archived ingress-nginx, or none, when you bring your own.",
    )
    gateway_api: bool = Field(
        default=False, description="Whether the controller also serves the Gateway API; Traefik's only."
    )


class ProxyHost(_Model):
    """A host with a way of its own through the proxy."""

    host: Host = Field(description="The exact host name.")
    terminate: bool = Field(
        default=False,
        description="Whether its TLS ends at the proxy, which then holds a certificate for it and tells the rest who "
        "the client is in X-Forwarded headers.",
    )
    to: Upstream | None = Field(
        default=None,
        description="HOST:PORT of a server outside the cluster that speaks plain HTTP, such as localhost:3000, which "
        "has to listen where containers reach it; implies terminate.",
    )

    @property
    def ends(self) -> bool:
        """Whether its TLS ends at the proxy."""
        return self.terminate or self.to is not None


class Proxy(_Model):
    """The TLS proxy that brings the host's ports to the ingress."""

    listen: Address = Field(
        default="127.0.0.1",
        description="The host's address to listen on, beside its own loopback; 0.0.0.0 lets the whole network in, at "
        "https://HOST.NAME.ADDRESS.nip.io.",
    )
    ports: AutoPorts = Field(
        default=(443, 8443),
        description="The host's ports to listen on, all of them for HTTPS. auto in a port's place: 443 for the first, "
        "8443 for the second, else the next free one, and the same again as long as the sandbox is there; auto alone: "
        "both so.",
    )
    run: Literal["container", "process"] = Field(
        default="container",
        description="What the proxy is: a container beside the cluster, or a process of yours that reaches the cluster "
        "through its API server, for clusters that no container can reach.",
    )
    hosts: tuple[Annotated[ProxyHost, BeforeValidator(_host_alone)], ...] = Field(
        default=(),
        description="Hosts beside those of the domain, or with a way of their own: HOST, or host, terminate and to.",
    )


class Certificate(_Model):
    """A TLS Secret with a certificate of its own, for exactly its hosts."""

    secret: Subdomain = Field(description="The name of the TLS Secret.")
    namespace: Label = Field(default="default", description="The namespace of the Secret.")
    hosts: Annotated[tuple[Host, ...], Unique] = Field(
        min_length=1, description="The certificate's host names, each inside the sandbox's domain."
    )


class KeyPairFiles(_Model):
    """A certificate of your own, in PEM."""

    cert: LocalPath = Field(description="The certificate, followed by those of its issuers.")
    key: LocalPath = Field(description="Its private key, without a passphrase.")


class Certs(_Model):
    """The certificates: who issues them, and which there are beside the default one."""

    issuer: Literal["sandbox", "cert-manager"] = Field(
        default="sandbox", description="Who issues: the sandbox itself, or cert-manager in the cluster."
    )
    default: KeyPairFiles | None = Field(
        default=None, description="The default certificate, when it is not to be one of the sandbox's own authority."
    )
    secrets: tuple[Certificate, ...] = Field(default=(), description="TLS Secrets with certificates of their own.")


class Spec(_Model):
    """A sandbox: its cluster, registry, certificates and ways in and out."""

    apiVersion: Literal["sandbox.dev/v1"] = Field(default="sandbox.dev/v1", description="The version of this format.")
    name: Name = Field(
        default="sandbox",
        description="The sandbox's name: in its containers, its kubectl context and its domain.",
    )
    domain: Domain = Field(
        default_factory=lambda fields: f"{fields['name']}.sandbox.localhost",
        description="The domain whose hosts the sandbox answers; by default NAME.sandbox.localhost.",
    )
    cluster: Cluster = Field(default=Cluster(), description="The Kubernetes cluster.")
    images: Images = Field(default=Images(), description="The sandbox's own images.")
    registry: Registry = Field(default=Registry(), description="The private image registry.")
    push: LocalPath | None = Field(
        default=None, description="The manifest of images to push into the registry, relative to this file's folder."
    )
    ingress: Ingress = Field(default=Ingress(), description="What routes HTTPS to services by host name.")
    proxy: Proxy = Field(default=Proxy(), description="The TLS proxy on the host's ports.")
    network: Network = Field(default=Network(), description="How pods reach the outside.")
    certs: Certs = Field(default=Certs(), description="The certificates.")
    credentials: tuple[Credentials, ...] = Field(
        default=(), description="Accounts at other registries, for pods and for the images that are pushed."
    )
    addons: Addons = Field(
        default=(), description="What else the cluster is to have: names and folders of addons, or addon and values."
    )
    apply: tuple[LocalPath, ...] = Field(
        default=(), description="Files or folders of manifests to apply, in this order, relative to this file's folder."
    )

    @property
    def vouched(self) -> tuple[str, ...]:
        """The domains that certificates are issued for: the sandbox's, and hosts outside it that end at the proxy."""
        ending = (one.host for one in self.proxy.hosts if one.ends)
        outside = (host for host in ending if host != self.domain and not host.endswith("." + self.domain))
        return tuple(dict.fromkeys((self.domain, *outside)))

    @classmethod
    def default(cls, name: str) -> Self:
        """The spec of the sandbox `name` with nothing else said; raises UsageError for a name that cannot be one."""
        try:
            return cls(name=name)
        except ValidationError as error:
            raise UsageError(f"the name {name!r} {error.errors()[0]['ctx']['error']}") from error

    @model_validator(mode="after")
    def _fits(self) -> Self:
        secrets, hosts = self._same_secret(), self._proxy_hosts()
        misfits = [*self._gateway_api(), *self._outside_domain(), *secrets, *self._same_port(), *hosts]
        misfits += [*self._stored_elsewhere(), *self._same_credentials(), *self._hosts_of_the_ingress()]
        misfits += self._same_addon()
        if misfits:
            raise document.Misfits(*misfits)
        return self

    def _hosts_of_the_ingress(self) -> list[tuple[tuple[str | int, ...], str]]:
        if self.ingress.controller == "none":
            return []
        return [
            (("network", "hosts", host), f"'{host}' is inside the domain '{self.domain}', where the ingress answers")
            for host in self.network.hosts
            if host == self.domain or host.endswith("." + self.domain)
        ]

    def _gateway_api(self) -> list[tuple[tuple[str | int, ...], str]]:
        if not self.ingress.gateway_api or self.ingress.controller == "traefik":
            return []
        served = f"the controller '{self.ingress.controller}' does not serve the Gateway API; 'traefik' does"
        return [(("ingress", "gateway_api"), served)]

    def _outside_domain(self) -> list[tuple[tuple[str | int, ...], str]]:
        hosts: list[tuple[tuple[str | int, ...], str]] = [
            (("certs", "secrets", index, "hosts", place), host)
            for index, certificate in enumerate(self.certs.secrets)
            for place, host in enumerate(certificate.hosts)
        ]
        hosts += [(("registry", "tls", index), host.partition(":")[0]) for index, host in enumerate(self.registry.tls)]
        return [
            (place, f"'{host}' is not inside the domain '{self.domain}'")
            for place, host in hosts
            if host != self.domain and not host.endswith("." + self.domain)
        ]

    def _same_secret(self) -> list[tuple[tuple[str | int, ...], str]]:
        secrets = [(certificate.namespace, certificate.secret) for certificate in self.certs.secrets]
        return [
            (("certs", "secrets", index, "secret"), f"'{secret[1]}' is given twice in the namespace '{secret[0]}'")
            for index, secret in enumerate(secrets)
            if secret in secrets[:index]
        ]

    def _proxy_hosts(self) -> list[tuple[tuple[str | int, ...], str]]:
        hosts = [one.host for one in self.proxy.hosts]
        misfits: list[tuple[tuple[str | int, ...], str]] = [
            (("proxy", "hosts", index, "host"), f"'{host}' is given twice")
            for index, host in enumerate(hosts)
            if host in hosts[:index]
        ]
        misfits += [
            (("proxy", "hosts", index, "host"), f"'{one.host}' cannot end at the proxy: its name has a single label")
            for index, one in enumerate(self.proxy.hosts)
            if one.ends and "." not in one.host
        ]
        if self.proxy.hosts and self.proxy.run == "process":
            misfits.append((("proxy", "hosts"), "only the container has such hosts: leave out 'run: process'"))
        return misfits

    def _stored_elsewhere(self) -> list[tuple[tuple[str | int, ...], str]]:
        if not self.registry.external or not self.registry.storage:
            return []
        return [(("registry", "storage"), "is for a registry of the sandbox's own, and this one is external")]

    def _same_credentials(self) -> list[tuple[tuple[str | int, ...], str]]:
        secrets = [entry.secret for entry in self.credentials]
        return [
            (("credentials", index), f"the Secret '{name}' is given twice; write another `secret:`")
            for index, name in enumerate(secrets)
            if name in secrets[:index]
        ]

    def _same_addon(self) -> list[tuple[tuple[str | int, ...], str]]:
        names = [one.name for one in self.addons]
        return [
            (("addons", index), f"there is another addon '{name}' before it")
            for index, name in enumerate(names)
            if name in names[:index]
        ]

    def _same_port(self) -> list[tuple[tuple[str | int, ...], str]]:
        port = self.registry.port
        if self.registry.external or port == "auto" or port not in self.proxy.ports:
            return []
        if "port" in self.registry.model_fields_set:
            return [(("registry", "port"), f"{port} is one of the proxy's ports; choose another")]
        return [(("proxy", "ports", self.proxy.ports.index(port)), f"{port} is the registry's port; choose another")]


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


def load(path: Path) -> Spec:
    """The spec in the file `path`, its own paths made absolute from the file's folder; raises UsageError."""
    spec = document.load(path, Spec, create="`sandbox init` writes one; -f FILE names another")
    folder = path.parent.absolute()
    default = spec.certs.default and KeyPairFiles(
        cert=folder / spec.certs.default.cert, key=folder / spec.certs.default.key
    )
    storage = spec.registry.storage and folder / spec.registry.storage
    return spec.model_copy(
        update={
            "certs": spec.certs.model_copy(update={"default": default}),
            "registry": spec.registry.model_copy(update={"storage": storage}),
            "credentials": tuple(
                entry.model_copy(update={"file": folder / entry.file}) if entry.file else entry
                for entry in spec.credentials
            ),
            "push": folder / spec.push if spec.push else None,
            "addons": tuple(each.below(folder) for each in spec.addons),
            "apply": tuple(folder / each for each in spec.apply),
        }
    )


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a sandbox.yaml, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Spec.model_json_schema(),
        "title": "sandbox.yaml",
    }
