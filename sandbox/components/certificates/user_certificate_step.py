"""The default certificate that the user brings, as the Secret that the ingress controller serves."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox.components.certificates import tls_secret
from sandbox.components.certificates.describe import describe
from sandbox.components.certificates.user_certificate import Provided
from sandbox.kube.api import Cluster
from sandbox.kube.manifests import namespace
from sandbox.names import DEFAULT_TLS, SYSTEM_NAMESPACE, Names
from sandbox.step import State, Status, Work


@dataclass(frozen=True)
class ProvidedStep:
    """The files are read each time, so that `up` brings a renewed certificate to the cluster; it goes with that."""

    names: Names
    provided: Provided
    name: str = "provided"
    needs: tuple[str, ...] = ("cluster",)

    @property
    def title(self) -> str:
        return f"Default certificate from {self.provided.cert.name}"

    def check(self) -> Status:
        wanted = self._manifest
        found = Cluster(self.names.kubeconfig).get("v1", "Secret", DEFAULT_TLS, SYSTEM_NAMESPACE)
        if found is None:
            return Status(State.ABSENT)
        if found.get("data") != wanted["data"]:
            return Status(State.DRIFTED, f"{SYSTEM_NAMESPACE}/{DEFAULT_TLS} holds another")
        facts = describe(self.provided.cert.read_bytes(), now=datetime.now(UTC))
        return Status(State.READY, f"{facts}{self._exposure()}")

    def apply(self, work: Work) -> None:
        cluster = Cluster(self.names.kubeconfig)
        cluster.apply(namespace(SYSTEM_NAMESPACE))
        tls_secret.put(cluster, self._manifest)

    def undo(self) -> bool:
        return False

    @property
    def _manifest(self) -> Mapping[str, Any]:
        leaf = self.provided.leaf()
        return tls_secret.manifest(SYSTEM_NAMESPACE, DEFAULT_TLS, chain_pem=leaf.chain_pem, key_pem=leaf.key_pem)

    def _exposure(self) -> str:
        """A hint when others may read the key; only a hint, since some file systems know no modes."""
        key = self.provided.key
        return f"; others can read its key: chmod 600 {key}" if key.stat().st_mode & stat.S_IROTH else ""
