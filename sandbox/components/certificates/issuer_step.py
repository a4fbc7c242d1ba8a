"""The sandbox's TLS Secrets as cert-manager's work: it issues them from our authority and renews them by itself."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sandbox.components.certificates import cert_manager
from sandbox.components.certificates.keystore import Authority, Keystore
from sandbox.components.certificates.secrets_step import TlsSecret
from sandbox.kube.api import Cluster, ClusterError, Manifest, title
from sandbox.kube.manifests import namespace
from sandbox.names import Names
from sandbox.step import State, Status, Work
from sandbox.system.wait import wait_until

TIMEOUT = 120.0


@dataclass(frozen=True)
class IssuerStep:
    """A ClusterIssuer with the issuing authority, whose key is the only one that leaves this machine's files."""

    names: Names
    keystore: Keystore
    secrets: tuple[TlsSecret, ...]
    name: str = "issuer"
    needs: tuple[str, ...] = ("cert-manager", "certificates")

    @property
    def title(self) -> str:
        return f"TLS Secrets by cert-manager ({len(self.secrets)})"

    def check(self) -> Status:
        cluster = Cluster(self.names.kubeconfig)
        authority = self._authority()
        for wanted in self._manifests(authority):
            found = _find(cluster, wanted)
            if found is None:
                return Status(State.ABSENT, title(wanted))
            for part in ("data", "spec"):
                if not _holds(found.get(part), wanted.get(part)):
                    return Status(State.DRIFTED, f"{title(wanted)} is another")
        pending = self._pending(cluster, authority)
        return Status(State.DRIFTED, pending) if pending else Status(State.READY)

    def apply(self, work: Work) -> None:
        cluster = Cluster(self.names.kubeconfig)
        authority = self._authority()
        cluster.apply_all(namespace(name) for name in sorted({one.namespace for one in self.secrets}))
        for manifest in self._manifests(authority):
            work.say(title(manifest))
            wait_until(partial(_try, cluster, manifest), what=title(manifest), timeout=TIMEOUT)
        for one in self.secrets:
            if self._is_foreign(cluster, one, authority):
                # cert-manager does not look whether the authority has changed, but it misses what is gone.
                cluster.delete("v1", "Secret", one.secret, one.namespace)
        work.say("waiting for the certificates")
        wait_until(lambda: self._pending(cluster, authority), what="certificates", timeout=TIMEOUT)

    def undo(self) -> bool:
        return False

    def _authority(self) -> Authority:
        return Authority(self.keystore.root.read().cert_pem, self.keystore.issuing.read())

    def _manifests(self, authority: Authority) -> list[dict[str, Any]]:
        issuing = authority.issuing
        return [
            cert_manager.authority(key_pem=issuing.key_pem, cert_pem=issuing.cert_pem, root_pem=authority.root_pem),
            cert_manager.issuer(),
            *(cert_manager.certificate(one.namespace, one.secret, one.hosts) for one in self.secrets),
        ]

    def _pending(self, cluster: Cluster, authority: Authority) -> str | None:
        """What cert-manager has not done yet, or None."""
        for wanted in self._manifests(authority)[1:]:
            live = _find(cluster, wanted)
            said = cert_manager.pending(live) if live else "gone"
            if said:
                return f"{title(wanted)}: {said}"
        for one in self.secrets:
            place = f"Secret {one.namespace}/{one.secret}"
            if cluster.get("v1", "Secret", one.secret, one.namespace) is None:
                return f"{place} is gone"
            if self._is_foreign(cluster, one, authority):
                return f"{place} is from another root"
        return None

    def _is_foreign(self, cluster: Cluster, one: TlsSecret, authority: Authority) -> bool:
        """Whether the Secret is there and not from the present root."""
        found = cluster.get("v1", "Secret", one.secret, one.namespace)
        root = base64.b64decode(((found or {}).get("data") or {}).get("ca.crt", ""))
        return found is not None and root.strip() != authority.root_pem.strip()


def _find(cluster: Cluster, wanted: Manifest) -> dict[str, Any] | None:
    metadata = wanted["metadata"]
    return cluster.get(wanted["apiVersion"], wanted["kind"], metadata["name"], metadata.get("namespace"))


def _holds(found: Any, wanted: Any) -> bool:
    """Whether `found` says what `wanted` says; the API server adds defaults."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(_holds(found.get(key), value) for key, value in wanted.items())
    return bool(found == wanted)


def _try(cluster: Cluster, manifest: Manifest) -> str | None:
    """Apply; until its webhook has a certificate and answers, cert-manager's objects are refused."""
    try:
        cluster.apply(manifest)
    except ClusterError as error:
        if "webhook" not in error.details and "the cluster knows no" not in str(error):
            raise
        return error.details or error.brief
    return None
