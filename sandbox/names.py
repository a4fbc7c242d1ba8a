"""Every name, label and path that a spec implies, so that steps agree without passing anything to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LABEL = "dev.sandbox.name"
NETWORK = "sandbox"
EDGE = "sandbox-edge"
SYSTEM_NAMESPACE = "sandbox-system"
DEFAULT_TLS = "default-tls"
REGISTRY_PORT = 5000


@dataclass(frozen=True)
class Home:
    """The folders and files of the user that the sandbox may touch."""

    state: Path
    cache: Path
    kubeconfig: Path

    @property
    def bundle(self) -> Path:
        """The bundle's finished components."""
        return self.cache / "bundle"

    @property
    def edge(self) -> Path:
        """The edge's configuration, which its container reads."""
        return self.state / "edge"

    @property
    def log(self) -> Path:
        """What the last commands did, for people and bug reports."""
        return self.state / "sandbox.log"

    def sandbox(self, name: str) -> Names:
        """The names of one sandbox."""
        return Names(name, self)


@dataclass(frozen=True)
class Names:
    """The names of everything that belongs to one sandbox."""

    name: str
    home: Home

    @property
    def cluster(self) -> str:
        """The cluster, as kind knows it; also the kubeconfig's context, cluster and user."""
        return f"sandbox-{self.name}"

    @property
    def node(self) -> str:
        """The container that is the control-plane node, and its host name on the network."""
        return f"{self.cluster}-control-plane"

    @property
    def registry(self) -> str:
        """The registry's container, and its host name on the network."""
        return f"sandbox-{self.name}-registry"

    @property
    def volume(self) -> str:
        """The volume that holds the registry's data."""
        return self.registry

    @property
    def labels(self) -> Mapping[str, str]:
        """What tells our objects from everybody else's."""
        return {LABEL: self.name}

    @property
    def folder(self) -> Path:
        """The sandbox's own files, gone with it."""
        return self.home.state / "sandboxes" / self.name

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig with this cluster alone."""
        return self.folder / "kubeconfig"

    @property
    def resolv_conf(self) -> Path:
        """The nameservers that the node gives to pods."""
        return self.folder / "resolv.conf"

    @property
    def keys(self) -> Path:
        """Certificates and keys; they outlive `down` so that whoever trusts them need not do it again."""
        return self.home.state / "certificates" / self.name

    @property
    def root_certificate(self) -> Path:
        """The certificate that clients are told to trust."""
        return self.keys / "root.crt"
