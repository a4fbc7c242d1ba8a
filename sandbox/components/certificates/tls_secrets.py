"""The certificates as TLS Secrets in the cluster: the default one, those of single applications, and the user's."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sandbox.components.certificates.facts import KeyPair, describe
from sandbox.components.certificates.keystore import Keystore
from sandbox.kube.api import Cluster, Manifest
from sandbox.kube.deletion import is_leaving
from sandbox.kube.manifests import namespace
from sandbox.kube.workload_status import LEAVING
from sandbox.names import DEFAULT_TLS, SYSTEM_NAMESPACE, Names
from sandbox.step import NothingToUndo, State, Status, Work

if TYPE_CHECKING:  # few have a certificate of their own
    from sandbox.components.certificates.user_certificate import Provided

LABEL = "sandbox.dev/leaf"


def tls_secret(namespace: str, name: str, pair: KeyPair, *, labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": name, "namespace": namespace, **({"labels": labels} if labels else {})},
        "data": {
            "tls.crt": base64.b64encode(pair.cert_pem).decode(),
            "tls.key": base64.b64encode(pair.key_pem).decode(),
        },
    }


def apply_tls_secret(cluster: Cluster, secret: Manifest) -> None:
    """Apply `secret`; first remove a Certificate of its name, which would undo that. Raises ClusterError."""
    name, namespace = secret["metadata"]["name"], secret["metadata"]["namespace"]
    cluster.delete("cert-manager.io/v1", "Certificate", name, namespace)
    live = cluster.get("v1", "Secret", name, namespace) or {}
    if (live.get("data") or {}).keys() - secret["data"].keys():
        # An apply does not remove what another field manager has set (`ca.crt`).
        cluster.delete("v1", "Secret", name, namespace)
    cluster.apply(secret)


@dataclass(frozen=True, kw_only=True)
class TlsSecret:
    namespace: str
    secret: str
    leaf: str
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class SecretsStep(NothingToUndo):
    """Each leaf of the user's files as a Secret of type kubernetes.io/tls; they are removed with the cluster."""

    names: Names
    keystore: Keystore
    secrets: tuple[TlsSecret, ...]
    name: str = "secrets"
    requires: tuple[str, ...] = ("cluster", "certificates")

    @property
    def title(self) -> str:
        number = len(self.secrets)
        return "TLS Secret" if number == 1 else f"{number or 'No'} TLS Secrets"

    def check(self) -> Status:
        cluster = Cluster(self.names.kubeconfig)
        for space in sorted({secret.namespace for secret in self.secrets}):
            if is_leaving(cluster.get("v1", "Namespace", space) or {}):
                return Status(State.ABSENT, f"Namespace {space} {LEAVING}")
        for secret in self.secrets:
            place = f"{secret.namespace}/{secret.secret}"
            live = cluster.get("v1", "Secret", secret.secret, secret.namespace)
            if live is None or is_leaving(live):
                return Status(State.ABSENT, place)
            pair = self.keystore.leaf_files(secret.leaf).read()
            if live.get("data") != tls_secret(secret.namespace, secret.secret, pair)["data"]:
                return Status(State.DRIFTED, f"{place} does not hold {describe(pair.cert_pem, now=datetime.now(UTC))}")
        stale = [f"{space}/{name}" for space, name in self._stale(cluster)]
        if stale:
            return Status(State.DRIFTED, f"{', '.join(stale)} of an earlier spec")
        return Status(State.READY, ", ".join(f"{secret.namespace}/{secret.secret}" for secret in self.secrets))

    def apply(self, work: Work) -> None:
        cluster = Cluster(self.names.kubeconfig)
        cluster.apply_all(namespace(name) for name in sorted({secret.namespace for secret in self.secrets}))
        for secret in self.secrets:
            leaf = self.keystore.leaf(secret.leaf, secret.hosts, now=datetime.now(UTC))
            apply_tls_secret(cluster, tls_secret(secret.namespace, secret.secret, leaf, labels={LABEL: ""}))
        for space, name in self._stale(cluster):
            cluster.delete("v1", "Secret", name, space)

    def _stale(self, cluster: Cluster) -> list[tuple[str, str]]:
        """Return Secrets of an earlier spec, as (namespace, name); default ones may now have another owner."""
        secrets = {(secret.namespace, secret.secret) for secret in self.secrets}
        metadata = (secret["metadata"] for secret in cluster.list("v1", "Secret", selector=LABEL))
        live = {(of["namespace"], of["name"]) for of in metadata if of["namespace"] != SYSTEM_NAMESPACE}
        return sorted(live - secrets)


@dataclass(frozen=True)
class ProvidedStep(NothingToUndo):
    """The user's own certificate as a Secret; the files are read each time, as the user may renew them."""

    names: Names
    provided: Provided
    name: str = "provided"
    requires: tuple[str, ...] = ("cluster",)

    @property
    def title(self) -> str:
        return f"Default certificate from {self.provided.cert.name}"

    def check(self) -> Status:
        manifest = self._manifest
        live = Cluster(self.names.kubeconfig).get("v1", "Secret", DEFAULT_TLS, SYSTEM_NAMESPACE)
        if live is None:
            return Status(State.ABSENT)
        if live.get("data") != manifest["data"]:
            return Status(State.DRIFTED, f"{SYSTEM_NAMESPACE}/{DEFAULT_TLS} holds another")
        facts = describe(self.provided.cert.read_bytes(), now=datetime.now(UTC))
        return Status(State.READY, str(facts))

    def apply(self, work: Work) -> None:
        cluster = Cluster(self.names.kubeconfig)
        cluster.apply(namespace(SYSTEM_NAMESPACE))
        apply_tls_secret(cluster, self._manifest)

    @property
    def _manifest(self) -> Mapping[str, Any]:
        return tls_secret(SYSTEM_NAMESPACE, DEFAULT_TLS, self.provided.leaf())
