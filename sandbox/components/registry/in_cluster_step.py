"""The registry in a cluster whose nodes are not ours: pushes by a port-forward only, pulls by nodes with a password.

Nodes trust no plain-http registry but one on their own loopback, which containerd and dockerd use without TLS
(containerd, core/remotes/docker/config/hosts.go; dockerd has 127.0.0.0/8 among its insecure registries). A NodePort is
such an address on every node. It is on their other addresses too, so every pull needs a password, and no one can push:
the registry that accepts pushes listens on the loopback of its pod, which only a port-forward reaches.
"""

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from string import Template
from typing import Any

from sandbox.components import content_hash
from sandbox.components.cluster.existing.tenant import SandboxNamespace, Tenant
from sandbox.config import yaml_text
from sandbox.errors import SandboxError
from sandbox.images import canary_image
from sandbox.kube.api import ClusterError
from sandbox.kube.readiness import wait_ready
from sandbox.oci.client import Client
from sandbox.step import NothingToUndo, State, Status, Work
from sandbox.system import files
from sandbox.system.wait import WaitTimeout, wait_until

NAME = "sandbox-registry"
PULL_SECRET = "sandbox-pull"  # noqa: S105  # a name
USER = "sandbox"
WRITE_PORT = 5000
# bcrypt's cost: enough for a password of 192 random bits, which is tested at every request.
ROUNDS = 4
TIMEOUT = 180.0  # seconds, for its pod
CANARY = "sandbox-canary"
PROOF = "sandbox-pulled"
PULL_TIMEOUT = 60.0
OTHER_WAYS = """\
use a registry that the nodes trust: registry: {external: HOST}   (push there with your account of `docker login`)
or ask who runs the cluster to let nodes reach NodePorts at 127.0.0.1 (kube-proxy in iptables mode does;
nftables, IPVS and eBPF replacements need it switched on), or to add a hosts.toml for that name on every node"""
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
        host, account = _name_on_nodes(cluster), _account(cluster)
        if host is None or account is None:
            return Status(State.ABSENT)
        secret = cluster.get("v1", "Secret", PULL_SECRET, cluster.namespace) or {}
        if secret.get("data") != _pull_secret(host, account)["data"]:
            return Status(State.DRIFTED, f"the Secret {PULL_SECRET} is for another")
        *claims, _, deployment = self._objects(cluster)
        where = "" if claims else ", its data is gone with its pod: the cluster has no disk to give"
        return content_hash.problem(cluster, [deployment]) or Status(State.READY, f"{host} on nodes{where}")

    def apply(self, work: Work) -> None:
        cluster = self.place.cluster
        *claims, service, deployment = self._objects(cluster)
        if _account(cluster) is None:
            cluster.apply(_new_account())
        cluster.apply(service)
        host, account = _name_on_nodes(cluster), _account(cluster)
        if host is None or account is None:
            raise SandboxError(f"the registry's objects do not stay in {cluster.namespace}", fix="see who removes them")
        cluster.apply_all([_pull_secret(host, account), *claims, deployment])
        work.say("waiting for its pod")
        try:
            wait_ready(cluster, [deployment], timeout=TIMEOUT, say=work.say)
        except SandboxError as error:
            error.fix = error.fix or (
                f"let the nodes pull {self.image} (the bundle's images are in no registry: `images: {{source: "
                "upstream}` takes published ones), or use another registry: registry: {external: HOST}"
            )
            raise

    def _objects(self, cluster: Tenant) -> list[dict[str, Any]]:
        # The claim of a disk, if the cluster has one to give, the Service and the Deployment.
        disk, empty = f"persistentVolumeClaim: {{claimName: {NAME}}}", "emptyDir: {sizeLimit: 10Gi}"
        claim, service, deployment = _manifests("in_cluster.yaml", image=self.image, volume=disk)
        has_disk = False
        try:
            has_disk = bool(cluster.rehearse(cluster.own(claim))["spec"].get("storageClassName"))
        except ClusterError as error:
            if error.status != 403:  # no right to disks, or a quota is used up
                raise
        if not has_disk:
            _, service, deployment = _manifests("in_cluster.yaml", image=self.image, volume=empty)
        return [*([claim] if has_disk else []), service, content_hash.marked(cluster.own(deployment))]


def name_on_nodes(place: SandboxNamespace) -> str:
    """Return the prefix of the registry's images in this cluster. Raises SandboxError while there is none."""
    host = _name_on_nodes(place.cluster)
    if host is None:
        raise SandboxError(f"there is no registry in {place.namespace}", fix="sandbox up")
    return host


def _name_on_nodes(cluster: Tenant) -> str | None:
    live = cluster.get("v1", "Service", NAME, cluster.namespace)
    return f"127.0.0.1:{live['spec']['ports'][0]['nodePort']}" if live and cluster.owns(live) else None


def _account(cluster: Tenant) -> dict[str, Any] | None:
    live = cluster.get("v1", "Secret", NAME, cluster.namespace)
    return live if live and cluster.owns(live) and "password" in (live.get("data") or {}) else None


def _new_account() -> dict[str, Any]:
    import bcrypt

    password = secrets.token_urlsafe(24)
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(ROUNDS)).decode()
    return _secret(NAME, "Opaque", {"password": password, "htpasswd": f"{USER}:{hashed}\n"})


def _pull_secret(host: str, account: Mapping[str, Any]) -> dict[str, Any]:
    password = base64.b64decode(account["data"]["password"]).decode()
    auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
    config = json.dumps({"auths": {host: {"auth": auth}}})
    return _secret(PULL_SECRET, "kubernetes.io/dockerconfigjson", {".dockerconfigjson": config})


def _secret(name: str, kind: str, content: Mapping[str, str]) -> dict[str, Any]:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in content.items()}
    return {"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": {"name": name}, "data": data}


def _manifests(file: str, **values: str) -> list[dict[str, Any]]:
    return yaml_text.documents(Template(files.packaged(__package__, file)).substitute(values))


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
        (pod,) = _manifests("canary.yaml", image=f"{name_on_nodes(self.place)}/{image}")
        self._remove()
        try:
            cluster.apply(pod)
            wait_until(lambda: unpulled(self._live()), what="the canary", timeout=PULL_TIMEOUT)
        except WaitTimeout as error:
            brief = "nodes of the cluster cannot pull from the registry in it"
            raise SandboxError(brief, details=error.details, fix=OTHER_WAYS, id="no-pull") from error
        finally:
            self._remove()
        metadata = {"name": PROOF}
        cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": _proof(self.place)})

    def _live(self) -> dict[str, Any] | None:
        return self.place.cluster.get("v1", "Pod", CANARY, self.place.namespace)

    def _remove(self) -> None:
        if self._live():
            self.place.cluster.delete("v1", "Pod", CANARY, self.place.namespace)
            running = "the pod of an earlier registry is still running"
            wait_until(lambda: running if self._live() else None, what="the canary's end", timeout=PULL_TIMEOUT)


def recorded(place: SandboxNamespace) -> Status:
    """Return the result of the last test pull that the cluster has a record of."""
    record = place.cluster.get("v1", "ConfigMap", PROOF, place.namespace)
    if record is None:
        return Status(State.ABSENT)
    if record.get("data") != _proof(place):
        return Status(State.DRIFTED, "was tested with another registry")
    return Status(State.READY, f"a node pulled from {name_on_nodes(place)}")


def _proof(place: SandboxNamespace) -> dict[str, str]:
    return {"registry": name_on_nodes(place), "image": canary_image.document().digest}


def unpulled(live: Mapping[str, Any] | None) -> str | None:
    """Return why no node has pulled the image of the pod yet, in the node's words; None when one has."""
    if live is None:
        return "its pod is gone"
    status = live.get("status") or {}
    state = (status.get("containerStatuses") or [{}])[0].get("state") or {}
    waiting = state.get("waiting") or {}
    if "terminated" in state or "running" in state or waiting.get("reason") in _UNRUNNABLE:
        return None
    conditions = (str(condition["message"]) for condition in status.get("conditions") or () if condition.get("message"))
    return waiting.get("message") or waiting.get("reason") or "; ".join(conditions) or "not scheduled on a node yet"
