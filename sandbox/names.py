"""Every name, label and path that a spec implies, so that steps agree on them without passing anything on."""

from __future__ import annotations

import functools
import hashlib
import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LABEL = "dev.sandbox.name"
OWNER = "dev.sandbox.owner"
MAX_HOST = 63  # octets of a label (RFC 1035, section 2.3.4)
BALANCER = "external-load-balancer"  # the end of the name of what is before several control planes, and kind's role
EDGE = "sandbox-edge"
SYSTEM_NAMESPACE = "sandbox-system"
DEFAULT_TLS = "default-tls"
DOMAIN_TLS = "domain-tls"
EDGE_LEAF = "edge"
# The label of the Services that ports of this machine lead to, each next to a user's own.
HOST_PORT = "sandbox.dev/host-port"
INGRESS_SERVICE = f"ingress.{SYSTEM_NAMESPACE}.svc.cluster.local"
REGISTRY_PORT = 5000
# The port of every node where the edge reaches the sandbox's ingress controller. Ports 80 and 443 are left to pods: a
# hostPort would be forwarded to the controller before a pod with hostNetwork that listens there gets anything.
INGRESS_PORT = 20443
HTTPS_PORT = 443  # of every node, where an ingress controller of the user's own listens
# This machine's name in pods.
HOST = "host.sandbox.internal"
# The host by which the edge asks an ingress whether it has loaded its configuration.
READY = "ready.sandbox.internal"
# The client's address that the edge gives an ingress where a header has the real one: unused (RFC 5737).
EDGE_ADDRESS = "192.0.2.1"


def port_suffix(port: int) -> str:
    """Return what follows a host in an https URL: `:PORT`, or nothing for the scheme's own port."""
    return "" if port == 443 else f":{port}"


def is_below(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")


def moved_host(host: str, base: str, domain: str) -> str:
    return host if is_below(host, domain) or not is_below(host, base) else host.removesuffix(base) + domain


@dataclass(frozen=True)
class Home:
    """The folders and files of the user that the sandbox may touch.

    `other_kubeconfigs` are further files in KUBECONFIG; an earlier command may have written to one of them.
    """

    state: Path
    cache: Path
    kubeconfig: Path
    other_kubeconfigs: tuple[Path, ...] = ()

    @property
    def bundle(self) -> Path:
        return self.cache / "bundle"

    @property
    def manifests(self) -> Path:
        return self.cache / "manifests"

    @property
    def certificates(self) -> Path:
        return self.cache / "certificates"

    @property
    def charts(self) -> Path:
        return self.cache / "charts"

    @property
    def addons(self) -> Path:
        return self.state / "addons"

    @property
    def projects(self) -> Path:
        return self.cache / "projects"

    @property
    def spool(self) -> Path:
        # on a disk: temporary files may be in memory
        return self.cache / "spool"

    @property
    def edge(self) -> Path:
        return self.state / "edge"

    @property
    def forwards(self) -> Path:
        return self.state / "forwards"

    @property
    def kubectl(self) -> Path:
        return self.forwards / "kubectl"

    @property
    def claims(self) -> Path:
        return self.state / "ports"

    @property
    def snapshots(self) -> Path:
        return self.state / "snapshots"

    @property
    def sandboxes(self) -> Path:
        return self.state / "sandboxes"

    def known(self) -> tuple[Names, ...]:
        return tuple(self.sandbox(path.name) for path in sorted(self.sandboxes.glob("*")))

    def lock(self, name: str) -> Path:
        return self.state / "locks" / name

    @property
    def networks(self) -> Path:
        return self.state / "network"

    @functools.cached_property
    def owner(self) -> str:
        uid = os.getuid()
        try:
            user = pwd.getpwuid(uid).pw_name
        except KeyError:  # a container's user need not be in its passwd
            user = str(uid)
        return f"{user}:{uid}:{self.state.resolve()}"

    @property
    def labels(self) -> Mapping[str, str]:
        return {LABEL: "", OWNER: self.owner}

    @property
    def log(self) -> Path:
        return self.state / "sandbox.log"

    @property
    def trust(self) -> Path:
        return self.state / "trust"

    @property
    def agreed(self) -> Path:
        return self.state / "agreed"

    def sandbox(self, name: str) -> Names:
        return Names(name, self)


@dataclass(frozen=True)
class Names:
    name: str
    home: Home

    @property
    def cluster(self) -> str:
        return f"sandbox-{self.name}"

    @property
    def network(self) -> str:
        """Return the network of nodes, registry and mirrors, which also claims the sandbox's name on this engine.

        It contains a dot, which no sandbox's name has, so it differs from all of them and from minikube's network.
        """
        return f"sandbox.{self.name}"

    @property
    def node(self) -> str:
        return f"{self.cluster}-control-plane"

    @property
    def copier(self) -> str:
        return f"{self.cluster}-copier"

    @property
    def thawer(self) -> str:
        """Return the container that lets frozen nodes go on so that they can end, there only meanwhile."""
        return f"{self.cluster}-thaw"

    @property
    def quarantine(self) -> str:
        return f"{self.registry}-quarantine"

    @property
    def helpers(self) -> tuple[str, ...]:
        return self.copier, self.thawer, self.quarantine

    @property
    def registry(self) -> str:
        return f"sandbox-{self.name}-registry"

    @property
    def registry_endpoint(self) -> str:
        return f"{self.registry}:{REGISTRY_PORT}"

    @property
    def volume(self) -> str:
        return self.registry

    def mirror(self, upstream: str) -> str:
        """Return the container that mirrors one upstream registry, also its host name on the network."""
        full = f"sandbox-{self.name}-{upstream.replace(':', '-')}"
        first, dot, rest = full.partition(".")
        if len(first) <= MAX_HOST:
            return full
        digest = hashlib.sha256(full.encode()).hexdigest()[:8]
        return f"{first[: MAX_HOST - 9].rstrip('-')}-{digest}{dot}{rest}"

    @property
    def mirrors(self) -> Path:
        return self.home.state / "mirrors" / self.name

    @property
    def charts(self) -> Path:
        return self.home.state / "charts" / self.name

    @property
    def rendered_charts(self) -> Path:
        return self.folder / "charts"

    @property
    def addon_values(self) -> Path:
        return self.folder / "addons"

    @property
    def labels(self) -> Mapping[str, str]:
        return {**self.home.labels, LABEL: self.name}

    @property
    def folder(self) -> Path:
        return self.home.sandboxes / self.name

    @property
    def spec(self) -> Path:
        return self.folder / "spec.json"

    @property
    def origin(self) -> Path:
        return self.folder / "origin.json"

    @property
    def engine(self) -> Path:
        return self.folder / "engine.json"

    @property
    def paused(self) -> Path:
        return self.folder / "asleep"

    @property
    def waker(self) -> Path:
        return self.folder / "waker.json"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def credentials(self) -> Path:
        """Return the folder of the process that renews registry credentials, there as long as a cluster has any."""
        return self.folder / "credentials"

    @property
    def keys(self) -> Path:
        """Return the folder of certificates and keys; they outlive `down`, so that the root is trusted only once."""
        return self.home.state / "certificates" / self.name

    @property
    def record_key(self) -> Path:
        return self.keys / "records.key"

    @property
    def root_certificate(self) -> Path:
        return self.keys / "root.crt"
