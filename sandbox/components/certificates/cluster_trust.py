"""The sandbox's root inside the cluster: a file on nodes, a ConfigMap for pods, and the unit that maintains it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from sandbox.components import node_unit
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.cluster import company_ca
from sandbox.components.cluster.company_ca import CompanyCa
from sandbox.components.node_unit import NodeUnit
from sandbox.kube.api import Cluster
from sandbox.kube.deletion import is_leaving
from sandbox.names import Names
from sandbox.provider import Nodes
from sandbox.step import NothingToUndo, State, Status, Work
from sandbox.system import files
from sandbox.system.wait import wait_until

if TYPE_CHECKING:
    from sandbox.components.certificates.user_certificate import Provided

CONFIG_MAP = "sandbox-root"
KEY = "ca.crt"
LABEL = "sandbox.dev/trust"

ROOT = PurePosixPath("/etc/sandbox/root.crt")

READY = Status(State.READY, f"ConfigMap {CONFIG_MAP} for namespaces with {LABEL}=true")

# Creating by a patch is authorized as both.
UNIT = NodeUnit(
    name="sandbox-trust",
    description=f"The ConfigMap {CONFIG_MAP} in every namespace labelled {LABEL}=true",
    script=files.packaged(__package__, "scripts/trust.sh"),
    data={},
    anywhere=(
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [CONFIG_MAP], "verbs": ["create", "patch"]},
    ),
)
"""The node does it because nothing else in the cluster both has kubectl and lasts: namespaces come at any time."""


@dataclass(frozen=True, kw_only=True)
class TrustStep(NothingToUndo):
    """A unit on the control plane that watches namespaces; this step installs it and tests that it works.

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
        cluster = Cluster(self.names.kubeconfig)
        pending = node_unit.problem(self.nodes, cluster, UNIT) or self._pending(cluster)
        if pending:
            absent = node_unit.is_absent(cluster, UNIT)
            return Status(State.ABSENT if absent else State.DRIFTED, pending)
        for node in self.nodes.running():
            content = self.nodes.read_files(node, (ROOT, company_ca.PLACE))
            if content[ROOT] != self._root:
                return Status(State.ABSENT if content[ROOT] is None else State.DRIFTED, f"{ROOT} on {node}")
            if (content[company_ca.PLACE] or b"") != self.company.pem:
                return Status(State.DRIFTED, f"{company_ca.PLACE} on {node}")
        return READY

    def apply(self, work: Work) -> Status:
        for node in self.nodes.running():  # each trusts the root when it pulls
            self.nodes.write_file(node, ROOT, self._root)
            if not self.company.is_on(self.nodes, node):
                self.company.enforce(self.nodes, node)
        cluster = Cluster(self.names.kubeconfig)
        node_unit.place(self.nodes, cluster, UNIT)
        wait_until(lambda: self._pending(cluster), what=self.title, timeout=60)
        return READY

    @property
    def _root(self) -> bytes:
        provided = self.provided.root_pem() if self.provided else b""
        return self.keystore.root.read().cert_pem + provided + self.company.pem

    def _pending(self, cluster: Cluster) -> str | None:
        """Return the first namespace that asks for the root and does not have it, or None."""
        wanted = {KEY: self._root.decode()}
        for one in cluster.list("v1", "Namespace", selector=f"{LABEL}=true"):
            name = one["metadata"]["name"]
            if is_leaving(one):
                continue
            found = cluster.get("v1", "ConfigMap", CONFIG_MAP, name)
            if found is None or found.get("data") != wanted:
                return f"{name} has no ConfigMap {CONFIG_MAP} with the present root"
        return None
