"""The registry in a cluster that is not ours, where pushes come by a tunnel and nodes pull at their own loopback."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sandbox.components import content_hash
from sandbox.components.cluster.existing.tenant import Place, Tenant
from sandbox.components.registry import in_cluster
from sandbox.components.registry.in_cluster import NAME, PULL_SECRET
from sandbox.errors import SandboxError
from sandbox.kube.api import ClusterError, Manifest
from sandbox.kube.readiness import wait_ready
from sandbox.step import NothingToUndo, State, Status, Work

TIMEOUT = 180.0


@dataclass(frozen=True)
class InnerRegistryStep(NothingToUndo):
    """CNCF distribution with its data on a disk of the cluster's default class, or in the pod where there is none."""

    place: Place
    image: str
    name: str = "registry"
    requires: tuple[str, ...] = ("cluster",)

    @property
    def title(self) -> str:
        return f"Registry in {self.place.namespace}"

    def check(self) -> Status:
        cluster = self.place.cluster
        service, account = _found(cluster, in_cluster.service()), _account(cluster)
        if service is None or account is None:
            return Status(State.ABSENT)
        port = in_cluster.node_port(service)
        held = cluster.get("v1", "Secret", PULL_SECRET, cluster.namespace) or {}
        wanted = in_cluster.pull_secret(port, in_cluster.password(account))
        if held.get("data") != wanted["data"]:
            return Status(State.DRIFTED, f"the Secret {PULL_SECRET} is for another")
        disk = self._has_disk(cluster)
        problem = content_hash.problem(cluster, [self._deployment(cluster, disk=disk)])
        where = "" if disk else ", its data is gone with its pod: the cluster has no disk to give"
        return problem or Status(State.READY, f"{in_cluster.name_on_nodes(port)} on nodes{where}")

    def apply(self, work: Work) -> None:
        cluster = self.place.cluster
        account = _account(cluster)
        if account is None:
            cluster.apply(in_cluster.account())
            account = _account(cluster)
        cluster.apply(in_cluster.service())
        service = _found(cluster, in_cluster.service())
        if service is None or account is None:
            raise SandboxError(f"the registry's objects do not stay in {cluster.namespace}", fix="see who removes them")
        port = in_cluster.node_port(service)
        cluster.apply(in_cluster.pull_secret(port, in_cluster.password(account)))
        disk = self._has_disk(cluster)
        if disk:
            cluster.apply(in_cluster.claim())
        deployment = self._deployment(cluster, disk=disk)
        cluster.apply(deployment)
        work.say("waiting for its pod")
        wait_ready(cluster, [deployment], timeout=TIMEOUT)

    def _deployment(self, cluster: Tenant, *, disk: bool) -> dict[str, Any]:
        return content_hash.marked(cluster.own(in_cluster.deployment(self.image, disk=disk)))

    def _has_disk(self, cluster: Tenant) -> bool:
        """Tell whether a claim would get a disk: the cluster names its default class in a claim, if it has one."""
        try:
            would = cluster.rehearse(cluster.own(in_cluster.claim()))
        except ClusterError as error:
            if error.status == 403:  # no right to disks, or none left of a quota
                return False
            raise
        return bool(would["spec"].get("storageClassName"))


def name_on_nodes(place: Place) -> str:
    """Return what images of the registry begin with in this cluster. Raises SandboxError while there is none."""
    service = _found(place.cluster, in_cluster.service())
    if service is None:
        raise SandboxError(f"there is no registry in {place.namespace}", fix="sandbox up")
    return in_cluster.name_on_nodes(in_cluster.node_port(service))


def _found(cluster: Tenant, manifest: Manifest) -> dict[str, Any] | None:
    found = cluster.find(manifest)
    return found if found and cluster.owns(found) else None


def _account(cluster: Tenant) -> dict[str, Any] | None:
    found = cluster.get("v1", "Secret", NAME, cluster.namespace)
    return found if found and cluster.owns(found) and "password" in (found.get("data") or {}) else None
