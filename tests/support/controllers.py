"""What the controllers of a cluster would do, done at once: objects that act on each other in the small API server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.components.certificates import pem
from sandbox.components.certificates.authority import make_leaf
from sandbox.components.certificates.facts import KeyPair

Issue = Callable[[dict[str, Any]], dict[str, str]]


class Controllers(dict[str, Any]):
    """The server's objects by path. Workloads become ready; Certificates too, with a Secret whose data `issue` makes.

    `idle` stops them all.
    """

    def __init__(self, issue: Issue | None = None) -> None:
        super().__init__()
        self.issue = issue
        self.idle = False

    def __setitem__(self, path: str, live: Any) -> None:
        before = self.get(path)
        super().__setitem__(path, live)
        if self.idle:
            return
        if live["kind"] == "Deployment":
            replicas = live["spec"].get("replicas", 1)
            live["status"] = {"observedGeneration": 1, "readyReplicas": replicas, "updatedReplicas": replicas}
        if live["kind"] == "DaemonSet":
            counts = ("desiredNumberScheduled", "numberReady", "updatedNumberScheduled")
            live["status"] = {"observedGeneration": 1, **dict.fromkeys(counts, 1)}
        if live["kind"] in ("ClusterIssuer", "Certificate"):
            live["status"] = {"conditions": [{"type": "Ready", "status": "True"}]}
        if live["kind"] == "Certificate" and (before is None or before["spec"] != live["spec"]):
            self._keep(live)

    def pop(self, path: str, default: Any = None) -> Any:
        gone = super().pop(path, default)
        if not self.idle and gone and gone["kind"] == "Secret":
            for one in [each for each in self.values() if each["kind"] == "Certificate"]:
                if self._place(one) == path:
                    self._keep(one)
        return gone

    def _keep(self, certificate: dict[str, Any]) -> None:
        assert self.issue is not None
        self[self._place(certificate)] = {"kind": "Secret", "data": self.issue(certificate)}

    @staticmethod
    def _place(certificate: dict[str, Any]) -> str:
        return f"/api/v1/namespaces/{certificate['metadata']['namespace']}/secrets/{certificate['spec']['secretName']}"


def signed(authority: KeyPair, certificate: dict[str, Any]) -> bytes:
    """The chain that cert-manager would issue for a Certificate, by an authority whose PEM ends in its root."""
    issuing, *_ = pem.load_certificates(authority.cert_pem)
    spec = certificate["spec"]
    hosts = (*spec.get("dnsNames", ()), *spec.get("ipAddresses", ()))
    pair = KeyPair(authority.key_pem, pem.dump_certificate(issuing))
    return make_leaf(pair, hosts, now=issuing.not_valid_before_utc).cert_pem
