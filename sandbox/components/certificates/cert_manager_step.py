"""cert-manager itself: its release, running in the cluster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sandbox.components.certificates import cert_manager_release
from sandbox.kube.api import Cluster
from sandbox.kube.manifests import parse
from sandbox.kube.readiness import progress, wait_ready
from sandbox.names import Names
from sandbox.step import State, Status, Work

TIMEOUT = 300.0


@dataclass(frozen=True)
class CertManagerStep:
    """Applies the pinned release from the folder `manifests`; it goes with the cluster."""

    names: Names
    manifests: Path
    name: str = "cert-manager"
    needs: tuple[str, ...] = ("cluster",)

    @property
    def title(self) -> str:
        return f"cert-manager {cert_manager_release.VERSION}"

    def check(self) -> Status:
        cluster = Cluster(self.names.kubeconfig)
        for name in cert_manager_release.DEPLOYMENTS:
            found = cluster.get("apps/v1", "Deployment", name, cert_manager_release.NAMESPACE)
            if found is None:
                return Status(State.ABSENT, name)
            version = (found["metadata"].get("labels") or {}).get("app.kubernetes.io/version")
            if version != cert_manager_release.VERSION:
                return Status(State.DRIFTED, f"{name} is {version}")
            pending = progress(found)
            if pending:
                return Status(State.DRIFTED, f"{name}: {pending}")
        return Status(State.READY)

    def apply(self, work: Work) -> None:
        cluster = Cluster(self.names.kubeconfig)
        manifests = list(parse(cert_manager_release.manifest(self.manifests), origin=cert_manager_release.URL))
        cluster.apply_all(manifests)
        work.say("waiting for the pods")
        wait_ready(cluster, manifests, timeout=TIMEOUT)

    def undo(self) -> bool:
        return False
