"""The sandbox's root inside the cluster: a file on nodes, and a ConfigMap for pods."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from sandbox.components.certificates.keystore import Keystore
from sandbox.components.cluster import company_ca
from sandbox.components.cluster.company_ca import CompanyCa
from sandbox.kube.api import Cluster, Manifest
from sandbox.kube.deletion import is_leaving
from sandbox.names import Names
from sandbox.provider import Nodes
from sandbox.step import NothingToUndo, State, Status, Work

if TYPE_CHECKING:
    from sandbox.components.certificates.user_certificate import Provided

CONFIG_MAP = "sandbox-root"
KEY = "ca.crt"
LABEL = "sandbox.dev/trust"

ROOT = PurePosixPath("/etc/sandbox/root.crt")

READY = Status(State.READY, f"ConfigMap {CONFIG_MAP} for namespaces with {LABEL}=true")


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
        return READY

    def apply(self, work: Work) -> Status:
        for node in self.nodes.running():  # each trusts the root when it pulls
            self.nodes.engine.write_file(node, ROOT, self._root)
            if not self.company.is_on(self.nodes, node):
                self.company.enforce(self.nodes, node)
        cluster = Cluster(self.names.kubeconfig)
        for namespace in self._without_root(cluster):
            cluster.apply(self._config_map(namespace))
        return READY

    def complete(self, cluster: Cluster, manifest: Manifest) -> None:
        """Write the ConfigMap into a namespace that was just applied and has the label, before its pods mount it."""
        if manifest["kind"] == "Namespace" and (manifest["metadata"].get("labels") or {}).get(LABEL) == "true":
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
        namespaces = cluster.list("v1", "Namespace", selector=f"{LABEL}=true")
        names = [namespace["metadata"]["name"] for namespace in namespaces if not is_leaving(namespace)]
        return [name for name in names if (cluster.get("v1", "ConfigMap", CONFIG_MAP, name) or {}).get("data") != data]
