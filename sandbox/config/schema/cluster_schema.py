"""What a sandbox.yaml may say about the Kubernetes cluster, its network, and the registries that it pulls from."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from sandbox.config.capabilities import CAPABILITIES, Capabilities, ProviderName
from sandbox.config.model import Document
from sandbox.config.schema.values import (
    AutoPort,
    FeatureGate,
    Label,
    LocalPath,
    Mirrors,
    NodePath,
    PodAddress,
    Port,
    ProxyUrl,
    RegistryHost,
    RegistryUrl,
    Release,
    Subdomain,
    Unique,
)

MAX_NODES = 250  # each has a range of 256 addresses for its pods, of 65536


class Nodes(Document):
    """How many nodes there are, by what they do."""

    control_plane: int = Field(
        default=1,
        ge=1,
        le=7,
        description="Nodes that run Kubernetes itself; more than one are behind a load balancer, an image that the "
        "bundle has after `sandbox bundle build balancer`.",
    )
    workers: int = Field(default=0, ge=0, le=MAX_NODES - 1, description="Worker nodes, for pods only.")

    @property
    def total(self) -> int:
        return self.control_plane + self.workers


def _counted(value: Any) -> Any:
    if isinstance(value, dict | Nodes):
        return value
    if type(value) is not int:
        raise ValueError("must be a whole number, or how many of each: {control_plane: 1, workers: 2}")
    if not 0 < value <= MAX_NODES:
        raise ValueError(f"must be from 1 to {MAX_NODES}, not {value}")
    return {"workers": value - 1}


Count = Annotated[int, Field(ge=1, le=MAX_NODES)]


class Mount(Document):
    """A file or folder of this machine that every node has."""

    host: LocalPath = Field(description="The file or folder on this machine, relative to this file's folder.")
    node: NodePath = Field(description="Its absolute path in the nodes.")
    read_only: bool = Field(default=False, description="Mount it read-only.")


class JsonPatch(Document):
    """An RFC 6902 patch of a kubeadm or kubelet document."""

    group: str = Field(description="The API group of the document, such as kubeadm.k8s.io.")
    version: str = Field(description="Its version, such as v1beta4.")
    kind: str = Field(description="Its kind, for example ClusterConfiguration.")
    patch: str = Field(description="The patch as YAML or JSON text: a list of operations.")


class KindNetworking(Document):
    """What kind's configuration may say about the network besides the sandbox's own."""

    kubeProxyMode: Literal["iptables", "nftables", "ipvs"] | None = Field(
        default=None,
        description="How kube-proxy implements Services; iptables by default. The bundle's nodes have no ipvs.",
    )


class KindOptions(Document):
    """Parts of kind's own configuration (kind.x-k8s.io/v1alpha4), in its words, that the cluster is made with."""

    networking: KindNetworking = Field(default=KindNetworking(), description="The cluster's network.")
    runtimeConfig: dict[str, str] = Field(default={}, description="API versions to serve or not, such as api/alpha.")
    kubeadmConfigPatches: tuple[str, ...] = Field(
        default=(), description="Partial kubeadm, kubelet and kube-proxy documents as YAML text, merged into kind's."
    )
    kubeadmConfigPatchesJSON6902: tuple[JsonPatch, ...] = Field(
        default=(), description="The same, as JSON patches: lists of operations."
    )
    containerdConfigPatches: tuple[str, ...] = Field(
        default=(), description="Partial containerd configurations as TOML text."
    )


class Cluster(Document):
    """The Kubernetes cluster."""

    provider: ProviderName = Field(
        default="kind",
        description="What runs the cluster: kind or minikube on this machine, or another program for an existing "
        "cluster.",
    )
    profile: Label | None = Field(
        default=None,
        description="Your own minikube profile to use, which is never removed. By default the sandbox creates one.",
    )
    context: str | None = Field(
        default=None, min_length=1, description="The existing cluster, by its context in your kubeconfig."
    )
    namespace: Label | None = Field(
        default=None,
        description="The one namespace of the existing cluster, for everything.  [default: sandbox-NAME]",
    )
    kubernetes: Release | None = Field(
        default=None,
        description="The Kubernetes version: a minor such as v1.36, of which the node images of this release are "
        "taken, or a patch such as v1.36.4.  [default: that of this release, or minikube's own]",
    )
    nodes: Annotated[Nodes, BeforeValidator(_counted, json_schema_input_type=Count | Nodes)] = Field(
        default=Nodes(),
        description="How many nodes: a number, of which one is the control plane, or control_plane and workers.",
    )
    ip_family: Literal["ipv4", "ipv6", "dual"] = Field(
        default="ipv4", description="The addresses that pods and services have; dual: of both kinds, IPv4 first."
    )
    feature_gates: dict[FeatureGate, bool] = Field(
        default={}, description="Kubernetes' feature gates, name to on or off, for every component."
    )
    mounts: tuple[Mount, ...] = Field(
        default=(), description="Files and folders of this machine to mount into the nodes."
    )
    kind: KindOptions | None = Field(default=None, description="Further settings of kind, in its own format.")

    @property
    def supports(self) -> Capabilities:
        return CAPABILITIES[self.provider]


class Images(Document):
    """The sandbox's own images: node, registry, ingress, edge."""

    source: Literal["auto", "upstream", "bundle"] = Field(
        default="auto",
        description="Where the sandbox's own images come from: their upstream registries, or a bundle built or loaded "
        "on this machine; auto: from the registries, or from the bundle if none answers.",
    )
    mirror: Mirrors | None = Field(
        default=None,
        description="The registry, with a path where it needs one, that is used in place of docker.io for the "
        "sandbox's own images and those of addons; digests are checked as with docker.io. For other registries too: "
        "{docker.io: mirror.example/hub, registry.k8s.io: mirror.example/k8s, quay.io: …, ghcr.io: …}.",
    )

    @property
    def mirrors(self) -> Mapping[str, str]:
        return {"docker.io": self.mirror} if isinstance(self.mirror, str) else self.mirror or {}


class OutboundProxy(Document):
    """The proxy that the outside is reached through."""

    http: ProxyUrl | None = Field(default=None, description="The URL of the proxy for http://.")
    https: ProxyUrl | None = Field(default=None, description="The URL of the proxy for https://.")
    no_proxy: tuple[Annotated[str, Field(pattern=r"^[^\s,]+$")], ...] = Field(
        default=(),
        description="Hosts, .domains and networks that are reached directly; the sandbox's own always are.",
    )


class Network(Document):
    """How pods reach the outside; what is changed here takes effect with the next up, in a running sandbox too."""

    nameservers: Literal["auto"] | Annotated[tuple[PodAddress, ...], Field(min_length=1, max_length=3), Unique] = Field(
        default="auto",
        description="The nameservers that outside names are resolved with, asked in this order; auto uses the "
        "host's own, a VPN's for its domains, or public ones where pods cannot reach those.",
    )
    search: Annotated[tuple[Subdomain, ...], Field(max_length=8), Unique] = Field(
        default=(),
        description="Domains that pods try after the cluster's own for short names; pods that run keep what they have.",
    )
    hosts: dict[Subdomain, PodAddress] = Field(
        default={}, description="Names that pods resolve to these addresses, outside the sandbox's domain."
    )
    proxy: Literal["auto"] | OutboundProxy = Field(
        default="auto",
        description="The proxy that the node pulls images through, and that pods in namespaces labelled "
        "sandbox.dev/proxy=true get as variables; auto takes the one that HTTP_PROXY and HTTPS_PROXY name, {} none.",
    )
    ca: Literal["auto", "none"] | LocalPath = Field(
        default="auto",
        description="A file with the certificates of a company's CA, in PEM, for nodes, mirrors, pushes, charts and "
        "namespaces labelled sandbox.dev/trust=true; auto takes those that this machine's administrator added to the "
        "system's own.",
    )


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
