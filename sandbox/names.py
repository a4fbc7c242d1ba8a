"""Every name, label and path that a spec implies, so that steps agree without passing anything to each other."""

from __future__ import annotations

import functools
import hashlib
import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from sandbox.fast_dataclass import dataclass

LABEL = "dev.sandbox.name"
OWNER = "dev.sandbox.owner"
# The network that all sandboxes of earlier releases shared; one that is on it stays there.
SHARED_NETWORK = "sandbox"
MAX_HOST = 63  # octets of a label (RFC 1035, section 2.3.4)
EDGE = "sandbox-edge"
RETIRED = "-retired-"  # in the names of replaced edges that serve out their connections
# End the names of containers that have a registry's port, and of those that hold ports for another.
FRONTEND, HOLDER = "-frontend", "-ports"
PASSTHROUGH = "passthrough"
SYSTEM_NAMESPACE = "sandbox-system"
DEFAULT_TLS = "default-tls"
DOMAIN_TLS = "domain-tls"
EDGE_LEAF = "edge"
INGRESS_SERVICE = f"ingress.{SYSTEM_NAMESPACE}.svc.cluster.local"
REGISTRY_PORT = 5000
# This machine, for pods.
HOST = "host.sandbox.internal"
# The host that the ingress answers once it has taken in what it serves, for the edge.
READY = "ready.sandbox.internal"
# How the edge calls itself to an ingress where it has told the client in a header: an unused address (RFC 5737).
EDGE_ADDRESS = "192.0.2.1"


@dataclass(frozen=True)
class Home:
    """The folders and files of the user that the sandbox may touch.

    `other_kubeconfigs` are further ones of KUBECONFIG, which may be the one that an earlier command wrote to.
    """

    state: Path
    cache: Path
    kubeconfig: Path
    other_kubeconfigs: tuple[Path, ...] = ()

    @property
    def bundle(self) -> Path:
        """Return the bundle's finished components."""
        return self.cache / "bundle"

    @property
    def manifests(self) -> Path:
        """Releases of others, as they publish them, kept or put there by hand."""
        return self.cache / "manifests"

    @property
    def certificates(self) -> Path:
        """Return the folder of files with what this machine trusts and the CA of a company."""
        return self.cache / "certificates"

    @property
    def charts(self) -> Path:
        """Return the archives of charts that were pulled, by their digests."""
        return self.cache / "charts"

    @property
    def addons(self) -> Path:
        """Return what charts and images of addons were locked to, a folder for each addon."""
        return self.state / "addons"

    @property
    def projects(self) -> Path:
        """Return the specs, manifests and images of sandboxes that were fetched from elsewhere."""
        return self.cache / "projects"

    @property
    def spool(self) -> Path:
        """Return where a push compresses layers, on a disk: the system's temporary files may be in memory."""
        return self.cache / "spool"

    @property
    def edge(self) -> Path:
        """Return the edge's configuration, which its container reads."""
        return self.state / "edge"

    @property
    def passthrough(self) -> Path:
        """Return the folder with routes, state and log of the relay, the edge for clusters out of containers' reach."""
        return self.state / PASSTHROUGH

    @property
    def kubectl(self) -> Path:
        """Return the kubectl that the passthrough calls."""
        return self.passthrough / "kubectl"

    @property
    def claims(self) -> Path:
        """Return the ports that commands at work are about to take."""
        return self.state / "ports"

    @property
    def snapshots(self) -> Path:
        """Sandboxes kept for later, a folder each with a folder for each snapshot; they hold keys."""
        return self.state / "snapshots"

    def lock(self, name: str) -> Path:
        """Return the folder that is locked by anyone who changes the sandbox `name`."""
        return self.state / "locks" / name

    @property
    def networks(self) -> Path:
        """Return the lock for making and removing networks."""
        return self.state / "network"

    @functools.cached_property
    def owner(self) -> str:
        """Return the user and the state folder that own an object: `USER:UID:FOLDER`."""
        uid = os.getuid()
        try:
            user = pwd.getpwuid(uid).pw_name
        except KeyError:  # a container's user need not be in its passwd
            user = str(uid)
        return f"{user}:{uid}:{self.state.resolve()}"

    @property
    def labels(self) -> Mapping[str, str]:
        """Return the labels of what all sandboxes of this owner share."""
        return {LABEL: "", OWNER: self.owner}

    @property
    def log(self) -> Path:
        """Return what the last commands did, for people and bug reports."""
        return self.state / "sandbox.log"

    @property
    def trust(self) -> Path:
        """Return the record of the root certificates that were put into trust stores."""
        return self.state / "trust"

    @property
    def agreed(self) -> Path:
        """Return what the user agreed to of specs and programs that others wrote, a file for each."""
        return self.state / "agreed"

    def sandbox(self, name: str) -> Names:
        """Return the names of one sandbox."""
        return Names(name, self)


@dataclass(frozen=True)
class Names:
    """The names of everything that belongs to one sandbox.

    With `shared` it was made by an earlier release, on the network that all sandboxes shared.
    """

    name: str
    home: Home
    shared: bool = False

    @property
    def cluster(self) -> str:
        """Return the cluster, as kind knows it; also the kubeconfig's context, cluster and user."""
        return f"sandbox-{self.name}"

    @property
    def network(self) -> str:
        """Return the network of nodes, registry and mirrors, and the claim of the name on this engine.

        With a dot, which no name has: it can be no other's, nor the one that minikube names as the cluster.
        """
        return SHARED_NETWORK if self.shared else f"sandbox.{self.name}"

    @property
    def node(self) -> str:
        """Return the container that is the control-plane node, and its host name on the network."""
        return f"{self.cluster}-control-plane"

    @property
    def copier(self) -> str:
        """Return the container that copies volumes to a snapshot and back, there as long as that takes."""
        return f"{self.cluster}-copier"

    @property
    def registry(self) -> str:
        """Return the registry's container, and its host name on the network."""
        return f"sandbox-{self.name}-registry"

    @property
    def udp(self) -> str:
        """Return the container that forwards UDP ports, where the sandbox has some."""
        return f"sandbox-{self.name}-udp"

    @property
    def registry_endpoint(self) -> str:
        """Return the registry's HOST:PORT on the network."""
        return f"{self.registry}:{REGISTRY_PORT}"

    @property
    def registry_frontend(self) -> str:
        """Return the container that has the registry's port on this machine."""
        return self.registry + FRONTEND

    @property
    def registry_holder(self) -> str:
        """Return the container that holds the port for it, where there is one."""
        return self.registry + HOLDER

    @property
    def registry_files(self) -> Path:
        """Return the configuration of these two."""
        return self.folder / "registry"

    @property
    def volume(self) -> str:
        """Return the volume that holds the registry's data."""
        return self.registry

    def mirror(self, upstream: str) -> str:
        """Return the container that is the cache of one upstream registry, and its host name on the network."""
        full = f"sandbox-{self.name}-{upstream.replace(':', '-')}"
        first, dot, rest = full.partition(".")
        if len(first) <= MAX_HOST:
            return full
        digest = hashlib.sha256(full.encode()).hexdigest()[:8]
        return f"{first[: MAX_HOST - 9].rstrip('-')}-{digest}{dot}{rest}"

    @property
    def mirrors(self) -> Path:
        """Return the settings and the data of those caches, one folder each; only `--purge` removes them."""
        return self.home.state / "mirrors" / self.name

    @property
    def charts(self) -> Path:
        """Return a file that is there while the cluster has releases of charts that `up` made."""
        return self.home.state / "charts" / self.name

    @property
    def addon_values(self) -> Path:
        """Return the folder with the values that charts of addons are installed with."""
        return self.folder / "addons"

    @property
    def labels(self) -> Mapping[str, str]:
        """Return what tells the sandbox's objects from all others: its name and its owner."""
        return {**self.home.labels, LABEL: self.name}

    @property
    def folder(self) -> Path:
        """Return the sandbox's own files, gone with it."""
        return self.home.state / "sandboxes" / self.name

    @property
    def spec(self) -> Path:
        """Return the spec that it was last brought up with."""
        return self.folder / "spec.json"

    @property
    def origin(self) -> Path:
        """Return where that spec came from."""
        return self.folder / "origin.json"

    @property
    def asked(self) -> Path:
        """Return what its nodes were asked by the last check of them."""
        return self.folder / "asked.json"

    @property
    def asleep(self) -> Path:
        """Return the file that is there while its nodes are held still."""
        return self.folder / "asleep"

    @property
    def waker(self) -> Path:
        """Return the record of the process that wakes it, next to which is what that says."""
        return self.folder / "waker.json"

    @property
    def data(self) -> Path:
        """Return what a project that was fetched keeps, whichever revision of it is up; only `--purge` removes it."""
        return self.home.state / "data" / self.name

    @property
    def kubeconfig(self) -> Path:
        """Return the kubeconfig with this cluster alone."""
        return self.folder / "kubeconfig"

    @property
    def resolv_conf(self) -> Path:
        """Return the nameservers that the node gives to pods."""
        return self.folder / "resolv.conf"

    @property
    def proxy_conf(self) -> Path:
        """Return the proxy that the node's containerd is told of; it may hold a password."""
        return self.folder / "proxy.conf"

    @property
    def credentials(self) -> Path:
        """Return the process that renews registry credentials and its log; there as long as a cluster has any."""
        return self.folder / "credentials"

    @property
    def keys(self) -> Path:
        """Certificates and keys; they outlive `down` so that anyone who trusts them need not do it again."""
        return self.home.state / "certificates" / self.name

    @property
    def record_key(self) -> Path:
        """Return what seals the notes that commands keep in the cluster."""
        return self.keys / "records.key"

    @property
    def root_certificate(self) -> Path:
        """Return the certificate that clients are told to trust."""
        return self.keys / "root.crt"
