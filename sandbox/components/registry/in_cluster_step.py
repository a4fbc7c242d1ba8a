"""Steps of a registry in an existing cluster: its pod, the test that a node pulls from it, and system images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.bundle.published import PREFIX
from sandbox.components import content_hash
from sandbox.components.cluster.existing.tenant import SandboxNamespace, Tenant
from sandbox.components.registry import in_cluster
from sandbox.components.registry.in_cluster import NAME, PULL_SECRET
from sandbox.errors import SandboxError
from sandbox.images import canary_image
from sandbox.images.images_yaml import FromArchive
from sandbox.kube.api import ClusterError, Manifest
from sandbox.kube.readiness import wait_ready
from sandbox.oci.client import Client
from sandbox.oci.credential import Keychain
from sandbox.oci.oci_errors import RegistryError
from sandbox.step import NothingToUndo, State, Status, Work
from sandbox.system.wait import WaitTimeout, wait_until

TIMEOUT = 180.0  # seconds, for its pod
PROOF = "sandbox-pulled"
PULL_TIMEOUT = 60.0
OTHER_WAYS = """\
use a registry that the nodes trust: registry: {external: HOST}   (push there with your account of `docker login`)
or ask who runs the cluster to let nodes reach NodePorts at 127.0.0.1 (kube-proxy in iptables mode does;
nftables, IPVS and eBPF replacements need it switched on), or to add a hosts.toml for that name on every node"""
CANARY = "sandbox-canary"
_UNRUNNABLE = {"CreateContainerError", "RunContainerError", "CrashLoopBackOff"}


@dataclass(frozen=True)
class InnerRegistryStep(NothingToUndo):
    """CNCF distribution with its data on a disk of the cluster's default class, or in the pod where there is none."""

    place: SandboxNamespace
    image: str
    name: str = "registry"
    requires: tuple[str, ...] = ("cluster",)

    @property
    def title(self) -> str:
        return f"Registry in {self.place.namespace}"

    def check(self) -> Status:
        cluster = self.place.cluster
        service, account = _own(cluster, in_cluster.service()), _account(cluster)
        if service is None or account is None:
            return Status(State.ABSENT)
        port = in_cluster.node_port(service)
        secret = cluster.get("v1", "Secret", PULL_SECRET, cluster.namespace) or {}
        if secret.get("data") != in_cluster.pull_secret(port, in_cluster.password(account))["data"]:
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
        service = _own(cluster, in_cluster.service())
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
        try:
            wait_ready(cluster, [deployment], timeout=TIMEOUT, say=work.say)
        except SandboxError as error:
            error.fix = error.fix or self._bringing()
            raise

    def _bringing(self) -> str:
        if self.image.startswith(PREFIX):
            return (
                "no registry has this image of the bundle: write `images: {source: upstream}` in sandbox.yaml, "
                f"or load it into the nodes, such as: kind load docker-image {self.image}"
            )
        return "let the nodes pull this image, or use a registry that there is: registry: {external: HOST}"

    def _deployment(self, cluster: Tenant, *, disk: bool) -> dict[str, Any]:
        return content_hash.marked(cluster.own(in_cluster.deployment(self.image, disk=disk)))

    def _has_disk(self, cluster: Tenant) -> bool:
        try:
            would = cluster.rehearse(cluster.own(in_cluster.claim()))
        except ClusterError as error:
            if error.status == 403:  # no right to disks, or a quota is used up
                return False
            raise
        return bool(would["spec"].get("storageClassName"))


def name_on_nodes(place: SandboxNamespace) -> str:
    """Return the prefix of the registry's images in this cluster. Raises SandboxError while there is none."""
    service = _own(place.cluster, in_cluster.service())
    if service is None:
        raise SandboxError(f"there is no registry in {place.namespace}", fix="sandbox up")
    return in_cluster.name_on_nodes(in_cluster.node_port(service))


def _own(cluster: Tenant, manifest: Manifest) -> dict[str, Any] | None:
    live = cluster.find(manifest)
    return live if live and cluster.owns(live) else None


def _account(cluster: Tenant) -> dict[str, Any] | None:
    live = cluster.get("v1", "Secret", NAME, cluster.namespace)
    return live if live and cluster.owns(live) and "password" in (live.get("data") or {}) else None


@dataclass(frozen=True)
class InnerCanaryStep(NothingToUndo):
    """Pushes a tiny image through the port-forward at `url` and has one node pull it by digest; records that it did."""

    place: SandboxNamespace
    url: str
    name: str = "wiring"
    requires: tuple[str, ...] = ("registry", "edge")
    title: str = "Registry reached by nodes"

    def check(self) -> Status:
        return recorded(self.place)

    def apply(self, work: Work) -> None:
        cluster = self.place.cluster
        with Client(self.url) as client:
            image = canary_image.place(client)
        pod = canary_pod(f"{name_on_nodes(self.place)}/{image}", PULL_SECRET)
        self._remove()
        try:
            cluster.apply(pod)
            wait_until(self._pull, what="the canary", timeout=PULL_TIMEOUT)
        except WaitTimeout as error:
            raise SandboxError(
                "nodes of the cluster cannot pull from the registry in it",
                details=error.details,
                fix=OTHER_WAYS,
                id="no-pull",
            ) from error
        finally:
            self._remove()
        cluster.apply(_proof(self.place))

    def _pull(self) -> str | None:
        live = self.place.cluster.get("v1", "Pod", CANARY, self.place.namespace)
        return unpulled(live) if live else "its pod is gone"

    def _remove(self) -> None:
        def remaining() -> str | None:
            live = self.place.cluster.get("v1", "Pod", CANARY, self.place.namespace)
            return "the pod of an earlier registry is still running" if live else None

        if remaining():
            self.place.cluster.delete("v1", "Pod", CANARY, self.place.namespace)
            wait_until(remaining, what="the canary's end", timeout=PULL_TIMEOUT)


def recorded(place: SandboxNamespace) -> Status:
    """Return the result of the last test pull that the cluster has a record of."""
    record = place.cluster.get("v1", "ConfigMap", PROOF, place.namespace)
    if record is None:
        return Status(State.ABSENT)
    if record.get("data") != _proof(place)["data"]:
        return Status(State.DRIFTED, "was tested with another registry")
    return Status(State.READY, f"a node pulled from {name_on_nodes(place)}")


def _proof(place: SandboxNamespace) -> dict[str, Any]:
    data = {"registry": name_on_nodes(place), "image": canary_image.document().digest}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": PROOF}, "data": data}


def canary_pod(image: str, pull_secret: str) -> dict[str, Any]:
    """Return the pod. Its image contains no program, so it ends as soon as the image is there."""
    container = {
        "name": "canary",
        "image": image,
        "imagePullPolicy": "Always",
        "command": ["/canary"],
        "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}, "limits": {"cpu": "10m", "memory": "16Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "imagePullSecrets": [{"name": pull_secret}],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": CANARY}, "spec": spec}


def unpulled(live: Mapping[str, Any]) -> str | None:
    """Return why no node has pulled the image of the pod yet, in the node's words; None when one has."""
    status = live.get("status") or {}
    state = (status.get("containerStatuses") or [{}])[0].get("state") or {}
    waiting = state.get("waiting") or {}
    if "terminated" in state or "running" in state or waiting.get("reason") in _UNRUNNABLE:
        return None
    conditions = (str(condition["message"]) for condition in status.get("conditions") or () if condition.get("message"))
    return waiting.get("message") or waiting.get("reason") or "; ".join(conditions) or "not scheduled on a node yet"


@dataclass(frozen=True)
class OwnPushStep(NothingToUndo):
    """Images of the bundle, pushed to the registry at `url`; their tags are as specific as their content."""

    entries: tuple[FromArchive, ...]
    url: str
    keychain: Keychain | None
    requires: tuple[str, ...]
    name: str = "own-images"
    title: str = "The sandbox's images in the registry"

    def check(self) -> Status:
        try:
            with Client(self.url, keychain=self.keychain) as client:
                missing = [str(entry.target) for entry in self.entries if not _has(client, entry)]
        except RegistryError as error:
            return Status(State.ABSENT, error.brief)
        if missing:
            return Status(State.ABSENT, f"missing: {', '.join(missing)}")
        return Status(State.READY, "in the registry")

    def apply(self, work: Work) -> None:
        from sandbox.images.push import push  # and the sources of images, which a check does without

        missing = [str(entry.path) for entry in self.entries if not entry.path.exists()]
        if missing:  # the engine may still have the images, and other checkouts have only their own versions
            raise SandboxError(
                "the bundle is not complete",
                details=f"missing: {', '.join(missing)}",
                fix="sandbox bundle build",
                id="no-bundle",
            )
        push(self.entries, self.url, keychain=self.keychain)


def _has(client: Client, entry: FromArchive) -> bool:
    return client.manifest_digest(entry.target.repository, str(entry.target.tag)) is not None
