"""The steps for certificates: the authority on this machine, its root in the cluster, and the TLS Secrets."""

import base64
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from sandbox.components.certificates.facts import CertificateState, KeyPair, describe
from sandbox.components.certificates.keystore import RENEW, Keystore
from sandbox.components.certificates.user_certificate import Provided
from sandbox.components.cluster import company_ca
from sandbox.components.cluster.company_ca import CompanyCa
from sandbox.kube.api import Cluster, Manifest
from sandbox.kube.deletion import is_leaving
from sandbox.kube.manifests import namespace
from sandbox.kube.workload_status import LEAVING
from sandbox.names import DEFAULT_TLS, SYSTEM_NAMESPACE, Names
from sandbox.provider import Nodes
from sandbox.quantities import count
from sandbox.step import NothingToUndo, State, Status, Work

LABEL = "sandbox.dev/leaf"
CONFIG_MAP = "sandbox-root"
KEY = "ca.crt"
TRUST_LABEL = "sandbox.dev/trust"
ROOT = PurePosixPath("/etc/sandbox/root.crt")
TRUSTED = Status(State.READY, f"ConfigMap {CONFIG_MAP} for namespaces with {TRUST_LABEL}=true")


@dataclass(frozen=True, kw_only=True)
class AuthorityStep:
    """Makes the root once, and the certificates below it whenever they are due; `leaves` maps a file name to its hosts.

    The CA may issue for `domains`, the sandbox's own first. `unvouched` are further domains that are not worth a new
    root. A new root may also issue for the domains that `reserve` returns, so that they can be added later.
    Certificates outlive `down` unless it purges, so that clients need to trust the root only once.
    """

    names: Names
    keystore: Keystore
    domains: tuple[str, ...]
    leaves: Mapping[str, tuple[str, ...]]
    purge: bool
    unvouched: tuple[str, ...] = ()
    reserve: Callable[[], Sequence[str]] = tuple
    name: str = "certificates"
    requires: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"Certificates for {self.domains[0]}"

    def check(self) -> Status:
        now = datetime.now(UTC)
        root = self.keystore.inspect_root(self.domains, now=now)
        if root.state is CertificateState.ABSENT:
            return Status(State.ABSENT, "no authority yet")
        if not root.usable and self.keystore.inspect_root(now=now).usable:  # but not for all of the spec's domains
            return Status(State.STALE, f"root: {root.reason}", "the root that clients were told to trust")
        if not root.usable:
            return Status(State.DRIFTED, f"root: {root.reason}")
        issuing = self.keystore.inspect_issuing(self.domains, now=now)
        if not issuing.usable or (issuing.state is CertificateState.DUE and self.keystore.root.has_key):
            return Status(State.DRIFTED, f"issuing authority: {issuing.reason}")
        for leaf, hosts in self.leaves.items():
            condition = self.keystore.inspect_leaf(leaf, hosts, now=now)
            if condition.state is not CertificateState.GOOD:
                return Status(State.DRIFTED, f"{leaf}: {condition.reason}")
        certificates = (self.keystore.issuing, *map(self.keystore.leaf_files, self.leaves))
        days = min(describe(files.read().cert_pem, now=now).days_left for files in certificates)
        due = f"; root: {root.reason}, {RENEW} makes another" if root.reason else ""
        few = f"; not for {', '.join(self.unvouched)}: {RENEW} makes a root that is" if self.unvouched else ""
        return Status(State.READY, f"{count(days, 'day')} left{due}{few}")

    def apply(self, work: Work) -> None:
        now = datetime.now(UTC)
        self.keystore.authority(self.domains, now=now, reserve=self.reserve())
        for leaf, hosts in self.leaves.items():
            self.keystore.leaf(leaf, hosts, now=now)

    def rebuild(self, work: Work) -> None:
        domains = (*self.domains, *self.unvouched)
        self.keystore.renew(domains, self.leaves, now=datetime.now(UTC), root=True, reserve=self.reserve())

    def undo(self) -> bool:
        if not self.purge or not self.names.keys.exists():
            return False
        shutil.rmtree(self.names.keys)
        return True


@dataclass(frozen=True, kw_only=True)
class TrustStep(NothingToUndo):
    """Writes the root to nodes and to labelled namespaces; the step for manifests calls `complete`.

    The ConfigMap holds the sandbox's root, the root of the user's own default certificate if there is one, and the
    company's certificates, which nodes trust when they pull.
    """

    nodes: Nodes
    names: Names
    keystore: Keystore
    provided: Provided | None
    company: CompanyCa
    name: str = "trust"
    requires: tuple[str, ...] = ("cluster", "certificates")
    title: str = "CA in the cluster"

    def check(self) -> Status:
        for node in self.nodes.running():
            content = self.nodes.engine.read_files(node, (ROOT, company_ca.PLACE))
            if content[ROOT] != self._root:
                return Status(State.ABSENT if content[ROOT] is None else State.DRIFTED, f"{ROOT} on {node}")
            if (content[company_ca.PLACE] or b"") != self.company.pem:
                return Status(State.DRIFTED, f"{company_ca.PLACE} on {node}")
        namespaces = self._without_root(Cluster(self.names.kubeconfig))
        if namespaces:
            return Status(State.DRIFTED, f"{namespaces[0]} has no ConfigMap {CONFIG_MAP} with the present root")
        return TRUSTED

    def apply(self, work: Work) -> Status:
        for node in self.nodes.running():  # each trusts the root when it pulls
            self.nodes.engine.write_files(node, {ROOT: self._root})
            if not self.company.is_on(self.nodes, node):
                self.company.enforce(self.nodes, node)
        cluster = Cluster(self.names.kubeconfig)
        for name in self._without_root(cluster):
            cluster.apply(self._config_map(name))
        return TRUSTED

    def complete(self, cluster: Cluster, manifest: Manifest) -> None:
        """Write the ConfigMap into a namespace that was just applied and has the label, before its pods mount it."""
        if manifest["kind"] == "Namespace" and (manifest["metadata"].get("labels") or {}).get(TRUST_LABEL) == "true":
            cluster.apply(self._config_map(manifest["metadata"]["name"]))

    @property
    def _root(self) -> bytes:
        provided = self.provided.root_pem() if self.provided else b""
        return self.keystore.root.read().cert_pem + provided + self.company.pem

    def _config_map(self, namespace: str) -> dict[str, object]:
        metadata = {"name": CONFIG_MAP, "namespace": namespace}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {KEY: self._root.decode()}}

    def _without_root(self, cluster: Cluster) -> list[str]:
        data = {KEY: self._root.decode()}
        namespaces = cluster.list("v1", "Namespace", selector=f"{TRUST_LABEL}=true")
        names = [namespace["metadata"]["name"] for namespace in namespaces if not is_leaving(namespace)]
        return [name for name in names if (cluster.get("v1", "ConfigMap", CONFIG_MAP, name) or {}).get("data") != data]


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
