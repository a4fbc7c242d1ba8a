"""cert-manager: its pinned release, and the TLS Secrets that it issues from the sandbox's CA and renews."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sandbox.bundle.recipe import versions
from sandbox.components.certificates.facts import KeyPair
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.certificates.steps import LABEL, TlsSecret, tls_secret
from sandbox.components.certificates.subject_names import parse_address
from sandbox.kube.api import Cluster, title
from sandbox.kube.apply_attempts import attempt
from sandbox.kube.manifests import namespace, parse
from sandbox.kube.readiness import wait_ready
from sandbox.kube.workload_status import progress
from sandbox.names import Names
from sandbox.step import NothingToUndo, State, Status, Work
from sandbox.system.download import download
from sandbox.system.wait import wait_until

VERSION = "v1.21.1"
URL = f"https://github.com/cert-manager/cert-manager/releases/download/{VERSION}/cert-manager.yaml"
SHA256 = "5f6a499b8c1857d57f560f536e0dcc830914b45c420899fe7ad0692c8624e408"

NAMESPACE = "cert-manager"
DEPLOYMENTS = ("cert-manager", "cert-manager-cainjector", "cert-manager-webhook")
API = "cert-manager.io/v1"
ISSUER = "sandbox"
AUTHORITY = "sandbox-issuing"
INSTALL_TIMEOUT = 300.0
ISSUE_TIMEOUT = 120.0


def release_manifest(folder: Path) -> str:
    return download(URL, folder / f"cert-manager-{VERSION}.yaml", sha256=SHA256).decode()


def images() -> Mapping[str, str]:
    return {name: image for name, image in versions().addons.items() if name.startswith("cert-manager-")}


def certificate(namespace: str, secret: str, hosts: Sequence[str]) -> dict[str, Any]:
    """Return the Certificate that keeps the TLS Secret `secret` for `hosts`: P-256, 90 days, renewed after 60."""
    addresses = [host for host in hosts if parse_address(host)]
    names = [host for host in hosts if host not in addresses]
    subjects = {"dnsNames": names, "ipAddresses": addresses}
    return {
        "apiVersion": API,
        "kind": "Certificate",
        "metadata": {"name": secret, "namespace": namespace, "labels": {LABEL: ""}},
        "spec": {
            "secretName": secret,
            **{key: values for key, values in subjects.items() if values},
            "duration": "2160h0m0s",
            "renewBefore": "720h0m0s",
            "privateKey": {"algorithm": "ECDSA", "size": 256, "encoding": "PKCS8", "rotationPolicy": "Always"},
            "usages": ["digital signature", "server auth"],
            "issuerRef": {"group": "cert-manager.io", "kind": "ClusterIssuer", "name": ISSUER},
        },
    }


def unready(live: Mapping[str, Any]) -> str | None:
    """Return what an issuer or a Certificate still lacks to be ready, in cert-manager's own words, or None."""
    generation = live["metadata"].get("generation", 1)
    for condition in (live.get("status") or {}).get("conditions") or ():
        if condition["type"] == "Ready" and condition.get("observedGeneration", generation) == generation:
            return None if condition["status"] == "True" else str(condition.get("message", "not ready"))
    return "not yet seen by cert-manager"


@dataclass(frozen=True)
class CertManagerStep(NothingToUndo):
    """The pinned release, from the folder `manifests`; `images` are the names that nodes have its images by."""

    names: Names
    manifests: Path
    images: Mapping[str, str] = field(default_factory=dict)
    name: str = "cert-manager"
    requires: tuple[str, ...] = ("cluster", "cert-manager-images")

    @property
    def title(self) -> str:
        return f"cert-manager {VERSION}"

    def check(self) -> Status:
        cluster = Cluster(self.names.kubeconfig)
        for name in DEPLOYMENTS:
            deployment = cluster.get("apps/v1", "Deployment", name, NAMESPACE)
            if deployment is None:
                return Status(State.ABSENT, name)
            version = (deployment["metadata"].get("labels") or {}).get("app.kubernetes.io/version")
            if version != VERSION:
                return Status(State.DRIFTED, f"{name} is {version}")
            if pending := progress(deployment):
                return Status(State.DRIFTED, f"{name}: {pending}")
        return Status(State.READY)

    def apply(self, work: Work) -> None:
        cluster = Cluster(self.names.kubeconfig)
        manifests = list(parse(release_manifest(self.manifests), origin=URL))
        for manifest in manifests:
            if manifest["kind"] == "Deployment":
                for container in manifest["spec"]["template"]["spec"]["containers"]:
                    container["image"] = self.images.get(container["image"], container["image"])
        cluster.apply_all(manifests)
        work.say("waiting for the pods")
        wait_ready(cluster, manifests, timeout=INSTALL_TIMEOUT)


@dataclass(frozen=True)
class IssuerStep(NothingToUndo):
    """A ClusterIssuer with the issuing authority, whose key is the only one that leaves this machine's files.

    cert-manager keeps the Certificates of `secrets` by it.
    """

    names: Names
    keystore: Keystore
    secrets: tuple[TlsSecret, ...]
    name: str = "issuer"
    requires: tuple[str, ...] = ("cert-manager", "certificates")

    @property
    def title(self) -> str:
        return f"TLS Secrets by cert-manager ({len(self.secrets)})"

    def check(self) -> Status:
        cluster = Cluster(self.names.kubeconfig)
        for manifest in self._manifests():
            live = cluster.live(manifest)
            if live is None:
                return Status(State.ABSENT, title(manifest))
            if not all(_contains(live.get(part), manifest.get(part)) for part in ("data", "spec")):
                return Status(State.DRIFTED, f"{title(manifest)} differs")
        if stale := self._stale(cluster):
            return Status(State.DRIFTED, f"{', '.join(map(title, stale))} of an earlier spec")
        pending = self._pending(cluster)
        return Status(State.DRIFTED, pending) if pending else Status(State.READY)

    def apply(self, work: Work) -> None:
        cluster = Cluster(self.names.kubeconfig)
        cluster.apply_all(namespace(name) for name in sorted({secret.namespace for secret in self.secrets}))
        for manifest in self._manifests():
            work.say(title(manifest))
            # Until cert-manager's webhook has a certificate and answers, its objects are refused.
            wait_until(partial(attempt, cluster, manifest), what=title(manifest), timeout=ISSUE_TIMEOUT)
        for secret in self.secrets:
            if self._is_from_another_root(cluster, secret):
                # cert-manager does not check whether the authority has changed, but it notices a missing Secret.
                cluster.delete("v1", "Secret", secret.secret, secret.namespace)
        for stale in self._stale(cluster):
            name, space = stale["metadata"]["name"], stale["metadata"]["namespace"]
            cluster.delete(API, "Certificate", name, space)
            cluster.delete("v1", "Secret", name, space)
        work.say("waiting for the certificates")
        wait_until(partial(self._pending, cluster), what="certificates", timeout=ISSUE_TIMEOUT)

    def _manifests(self) -> list[dict[str, Any]]:
        root_pem, issuing = self.keystore.root.read().cert_pem, self.keystore.issuing.read()
        # Of the root only the certificate, for the `ca.crt` of Secrets: cert-manager serves a chain without its
        # self-signed end (pkg/util/pki: ParseSingleCertificateChain). By the label the Secret is removed when the
        # sandbox issues its certificates itself again.
        pair = KeyPair(issuing.key_pem, issuing.cert_pem + root_pem)
        authority = tls_secret(NAMESPACE, AUTHORITY, pair, labels={LABEL: ""})
        issuer = {
            "apiVersion": API,
            "kind": "ClusterIssuer",
            "metadata": {"name": ISSUER},
            "spec": {"ca": {"secretName": AUTHORITY}},
        }
        certificates = (certificate(secret.namespace, secret.secret, secret.hosts) for secret in self.secrets)
        return [authority, issuer, *certificates]

    def _stale(self, cluster: Cluster) -> list[dict[str, Any]]:
        secrets = {(secret.namespace, secret.secret) for secret in self.secrets}
        metadata = ((live, live["metadata"]) for live in cluster.list(API, "Certificate", selector=LABEL))
        return [live for live, of in metadata if (of["namespace"], of["name"]) not in secrets]

    def _pending(self, cluster: Cluster) -> str | None:
        for manifest in self._manifests()[1:]:
            live = cluster.live(manifest)
            if reason := unready(live) if live else "gone":
                return f"{title(manifest)}: {reason}"
        for secret in self.secrets:
            if self._is_from_another_root(cluster, secret):
                return f"Secret {secret.namespace}/{secret.secret} is gone, or from another root"
        return None

    def _is_from_another_root(self, cluster: Cluster, secret: TlsSecret) -> bool:
        live = cluster.get("v1", "Secret", secret.secret, secret.namespace) or {}
        root = base64.b64decode((live.get("data") or {}).get("ca.crt", ""))
        return root.strip() != self.keystore.root.read().cert_pem.strip()


def _contains(live: Any, wanted: Any) -> bool:
    # The API server adds defaults.
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(_contains(live.get(key), value) for key, value in wanted.items())
    return bool(live == wanted)
