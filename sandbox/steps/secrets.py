"""The certificates as TLS Secrets in the cluster: the default one and those with hosts of their own."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox.certs.keystore import Keystore
from sandbox.cluster.api import Cluster
from sandbox.cluster.namespace import namespace
from sandbox.names import Names
from sandbox.steps.step import State, Status, Work


@dataclass(frozen=True)
class TlsSecret:
    """A Secret to be: where it is, the leaf it holds and that leaf's hosts."""

    namespace: str
    secret: str
    leaf: str
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class SecretsStep:
    """Each leaf of the user's files as a Secret of type kubernetes.io/tls; they go with the cluster."""

    names: Names
    keystore: Keystore
    secrets: tuple[TlsSecret, ...]
    name: str = "secrets"
    needs: tuple[str, ...] = ("cluster", "certificates")

    @property
    def title(self) -> str:
        return f"{len(self.secrets)} TLS Secrets" if len(self.secrets) != 1 else "TLS Secret"

    def check(self) -> Status:
        cluster = Cluster(self.names.kubeconfig)
        for wanted in self._manifests():
            metadata = wanted["metadata"]
            found = cluster.get("v1", "Secret", metadata["name"], metadata["namespace"])
            if found is None:
                return Status(State.ABSENT, f"{metadata['namespace']}/{metadata['name']}")
            if found.get("data") != wanted["data"]:
                return Status(State.DRIFTED, f"{metadata['namespace']}/{metadata['name']} holds another certificate")
        return Status(State.READY, ", ".join(f"{one.namespace}/{one.secret}" for one in self.secrets))

    def apply(self, work: Work) -> None:
        cluster = Cluster(self.names.kubeconfig)
        cluster.apply_all(namespace(name) for name in sorted({one.namespace for one in self.secrets}))
        cluster.apply_all(self._manifests())

    def undo(self) -> bool:
        return False

    def _manifests(self) -> Iterator[Mapping[str, Any]]:
        now = datetime.now(UTC)
        for one in self.secrets:
            leaf = self.keystore.leaf(one.leaf, one.hosts, now=now)
            data = {"tls.crt": leaf.chain_pem, "tls.key": leaf.key_pem}
            yield {
                "apiVersion": "v1",
                "kind": "Secret",
                "type": "kubernetes.io/tls",
                "metadata": {"name": one.secret, "namespace": one.namespace},
                "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
            }
