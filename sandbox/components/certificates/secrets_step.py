"""The certificates as TLS Secrets in the cluster: the default one and those with hosts of their own."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox.components.certificates import tls_secret
from sandbox.components.certificates.describe import describe
from sandbox.components.certificates.keystore import Keystore
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster
from sandbox.kube.deletion import is_leaving
from sandbox.kube.manifests import namespace
from sandbox.kube.readiness import LEAVING
from sandbox.names import SYSTEM_NAMESPACE, Names
from sandbox.step import State, Status, Work

LABEL = "sandbox.dev/leaf"


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
        for space in sorted({one.namespace for one in self.secrets}):
            if is_leaving(cluster.get("v1", "Namespace", space) or {}):
                return Status(State.ABSENT, f"Namespace {space} {LEAVING}")
        for one in self.secrets:
            place = f"{one.namespace}/{one.secret}"
            found = cluster.get("v1", "Secret", one.secret, one.namespace)
            if found is None or is_leaving(found):
                return Status(State.ABSENT, place)
            held = found.get("data") or {}
            pair = self.keystore.leaf_files(one.leaf).read()
            if held != _data(pair.cert_pem, pair.key_pem):
                return Status(State.DRIFTED, f"{place} holds {_known(held)}, not {_described(pair.cert_pem)}")
        stale = [f"{space}/{name}" for space, name in self._stale(cluster)]
        if stale:
            return Status(State.DRIFTED, f"{', '.join(stale)} of an earlier spec")
        return Status(State.READY, ", ".join(f"{one.namespace}/{one.secret}" for one in self.secrets))

    def apply(self, work: Work) -> None:
        cluster = Cluster(self.names.kubeconfig)
        cluster.apply_all(namespace(name) for name in sorted({one.namespace for one in self.secrets}))
        for secret in self._manifests():
            tls_secret.put(cluster, secret)
        for space, name in self._stale(cluster):
            cluster.delete("v1", "Secret", name, space)

    def undo(self) -> bool:
        return False

    def _stale(self, cluster: Cluster) -> list[tuple[str, str]]:
        """The Secrets that an earlier spec asked for, as (namespace, name); the default ones others may keep now."""
        wanted = {(one.namespace, one.secret) for one in self.secrets}
        found = (one["metadata"] for one in cluster.list("v1", "Secret", selector=LABEL))
        known = {(one["namespace"], one["name"]) for one in found if one["namespace"] != SYSTEM_NAMESPACE}
        return sorted(known - wanted)

    def _manifests(self) -> Iterator[Mapping[str, Any]]:
        now = datetime.now(UTC)
        for one in self.secrets:
            leaf = self.keystore.leaf(one.leaf, one.hosts, now=now)
            made = tls_secret.manifest(one.namespace, one.secret, chain_pem=leaf.chain_pem, key_pem=leaf.key_pem)
            yield {**made, "metadata": {**made["metadata"], "labels": {LABEL: ""}}}


def _data(chain_pem: bytes, key_pem: bytes) -> dict[str, str]:
    content = {"tls.crt": chain_pem, "tls.key": key_pem}
    return {key: base64.b64encode(value).decode() for key, value in content.items()}


def _known(held: Mapping[str, str]) -> str:
    """What a Secret holds, which may be anything."""
    try:
        return _described(base64.b64decode(held.get("tls.crt", "")))
    except (SandboxError, ValueError):
        return "no certificate"


def _described(chain_pem: bytes) -> str:
    return str(describe(chain_pem, now=datetime.now(UTC)))
