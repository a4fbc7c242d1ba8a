"""The registry in a cluster that is not ours, where pushes come by a tunnel and nodes pull at their own loopback."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sandbox.cluster import inner_registry
from sandbox.cluster.api import ClusterError, Manifest
from sandbox.cluster.inner_registry import NAME, PULL_SECRET
from sandbox.cluster.readiness import wait_ready
from sandbox.cluster.tenant import Tenant
from sandbox.errors import SandboxError
from sandbox.steps import marked
from sandbox.steps.place import Place
from sandbox.steps.step import State, Status, Work

TIMEOUT = 180.0


@dataclass(frozen=True)
class InnerRegistryStep:
    """CNCF distribution with its data on a disk of the cluster's default class, or in the pod where there is none."""

    place: Place
    image: str
    name: str = "registry"
    needs: tuple[str, ...] = ("cluster",)

    @property
    def title(self) -> str:
        return f"Registry in {self.place.namespace}"

    def check(self) -> Status:
        cluster = self.place.cluster
        service, account = _found(cluster, inner_registry.service()), _account(cluster)
        if service is None or account is None:
            return Status(State.ABSENT)
        port = inner_registry.node_port(service)
        held = cluster.get("v1", "Secret", PULL_SECRET, cluster.namespace) or {}
        wanted = inner_registry.pull_secret(port, inner_registry.password(account))
        if held.get("data") != wanted["data"]:
            return Status(State.DRIFTED, f"the Secret {PULL_SECRET} is for another")
        disk = self._has_disk(cluster)
        amiss = marked.amiss(cluster, [self._deployment(cluster, disk=disk)])
        where = "" if disk else ", its data is gone with its pod: the cluster has no disk to give"
        return amiss or Status(State.READY, f"{inner_registry.name_on_nodes(port)} on nodes{where}")

    def apply(self, work: Work) -> None:
        cluster = self.place.cluster
        account = _account(cluster)
        if account is None:
            cluster.apply(inner_registry.account())
            account = _account(cluster)
        cluster.apply(inner_registry.service())
        service = _found(cluster, inner_registry.service())
        if service is None or account is None:
            raise SandboxError(f"the registry's objects do not stay in {cluster.namespace}", fix="see who removes them")
        port = inner_registry.node_port(service)
        cluster.apply(inner_registry.pull_secret(port, inner_registry.password(account)))
        disk = self._has_disk(cluster)
        if disk:
            cluster.apply(inner_registry.claim())
        deployment = self._deployment(cluster, disk=disk)
        cluster.apply(deployment)
        work.say("waiting for its pod")
        wait_ready(cluster, [deployment], timeout=TIMEOUT)

    def undo(self) -> bool:
        return False

    def _deployment(self, cluster: Tenant, *, disk: bool) -> dict[str, Any]:
        return marked.marked(cluster.own(inner_registry.deployment(self.image, disk=disk)))

    def _has_disk(self, cluster: Tenant) -> bool:
        """Whether a claim would get a disk: the cluster names its default class in a claim, if it has one."""
        try:
            would = cluster.rehearse(cluster.own(inner_registry.claim()))
        except ClusterError as error:
            if error.status == 403:  # no right to disks, or none left of a quota
                return False
            raise
        return bool(would["spec"].get("storageClassName"))


def name_on_nodes(place: Place) -> str:
    """What images of the registry begin with in this cluster. Raises SandboxError while there is none."""
    service = _found(place.cluster, inner_registry.service())
    if service is None:
        raise SandboxError(f"there is no registry in {place.namespace}", fix="sandbox up")
    return inner_registry.name_on_nodes(inner_registry.node_port(service))


def _found(cluster: Tenant, manifest: Manifest) -> dict[str, Any] | None:
    found = cluster.find(manifest)
    return found if found and cluster.owns(found) else None


def _account(cluster: Tenant) -> dict[str, Any] | None:
    found = cluster.get("v1", "Secret", NAME, cluster.namespace)
    return found if found and cluster.owns(found) and "password" in (found.get("data") or {}) else None
