"""Connects the registry with the cluster, so that nodes pull from it by each of its names and tools can discover it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from sandbox.components.cluster import containerd_hosts
from sandbox.components.cluster.containerd_hosts import SERVICE
from sandbox.components.registry import endpoints, mirror_settings, tls_step
from sandbox.components.registry.endpoints import RegistryAddresses
from sandbox.config.schema import ResolvedRegistry
from sandbox.engine import Engine
from sandbox.images import canary_image
from sandbox.kube.api import Cluster, ClusterError
from sandbox.kube.manifests import namespace
from sandbox.names import REGISTRY_PORT, SYSTEM_NAMESPACE, Names
from sandbox.oci.client import Client
from sandbox.oci.oci_errors import RegistryError
from sandbox.provider import Nodes
from sandbox.step import NothingToUndo, State, Status, Work
from sandbox.system import files
from sandbox.system.wait import wait_until

SLICE = ("discovery.k8s.io/v1", "EndpointSlice", SERVICE, SYSTEM_NAMESPACE)
PATIENCE = 30.0
WIDTH = 8
FIXES = {
    "name": "docker restart {node}   (its DNS does not know the registry's container)",
    "route": "let containers of the network {network} reach each other (firewall), or docker restart {registry}",
    "http": "see what answers there instead of a registry: docker logs {registry}",
    "manifest": "see what answers there instead of this registry: docker logs {registry}",
    "pull": "see why containerd goes another way: docker exec {node} journalctl -u containerd",
}
_ANSWERS = ("200", "401")


@dataclass(frozen=True)
class Pulled:
    """The test image was pulled, in so many milliseconds."""

    milliseconds: int


@dataclass(frozen=True)
class Broken:
    """The test image was not pulled: `hop` failed first (name, route, http, manifest, pull), for the `reason`."""

    hop: str
    reason: str


def canary_command(registry: str, image: str, endpoint: str) -> tuple[str, ...]:
    """Return the command for a node to pull `image` (`REPOSITORY@DIGEST`) by `registry`, a name of `endpoint`."""
    where = urlsplit(endpoint)
    repository, _, digest = image.partition("@")
    port = str(where.port or (443 if where.scheme == "https" else 80))
    path = f"/v2/{repository}/manifests/{digest}"
    script = files.packaged(__package__, "scripts/canary.sh")
    return ("bash", "-c", script, "canary", f"{registry}/{image}", where.hostname or "", port, path)


def canary_result(output: str, endpoint: str) -> Pulled | Broken:
    """Return the result in the command's output."""
    said = {word: rest for word, _, rest in (line.partition(" ") for line in output.splitlines())}
    if said.get("pulled", "").isdigit():
        return Pulled(int(said["pulled"]))
    where = urlsplit(endpoint)
    if not said.get("name"):
        return Broken("name", f"{where.hostname} has no address there")
    if not said.get("route"):
        return Broken("route", f"{said['name']}:{where.port} refuses or does not answer")
    if where.scheme == "http" and said.get("http") not in _ANSWERS:
        return Broken("http", f"GET {endpoint}/v2/ answers {said.get('http') or 'nothing'}")
    if where.scheme == "http" and said.get("manifest") not in _ANSWERS:
        return Broken("manifest", f"the registry there answers {said.get('manifest') or 'nothing'} to the canary")
    return Broken("pull", said.get("pull", output.strip()))


@dataclass(frozen=True)
class WiringStep(NothingToUndo):
    """The registry's settings in the cluster: hosts.toml on nodes, the ConfigMap of KEP-1755, a Service for pods.

    It is ready when a tiny image, pushed from here, was pulled inside each node as it is now. Everything is removed
    with the cluster.
    """

    engine: Engine
    nodes: Nodes
    names: Names
    registry: ResolvedRegistry
    name: str = "wiring"
    requires: tuple[str, ...] = ("cluster", "registry")
    after: tuple[str, ...] = ("join",)
    title: str = "Registry wired to the cluster"

    def check(self) -> Status:
        there = self._reach()
        wanted = self._host_files(there)
        missing, silence = None, None
        try:
            missing = self._missing(there)
        except ClusterError as error:
            silence = error  # the nodes' files may tell why
        if missing:  # and asking nodes takes longer
            return Status(State.DRIFTED, missing)
        for node in self.nodes.running():
            found = self._listed(node)
            for path, content in wanted.items():
                if found.get(path) != content:
                    return Status(State.DRIFTED if path in found else State.ABSENT, f"hosts.toml: {path} on {node}")
            for path in self._stale(found, wanted):
                return Status(State.DRIFTED, f"hosts.toml: {path} on {node} is from an earlier spec")
        if silence:
            raise silence
        return self._canary(there)

    def apply(self, work: Work) -> Status:
        there = self._reach()
        wanted = self._host_files(there)
        for node in self.nodes.running():
            found = self._listed(node)
            if old := self._stale(found, wanted):
                self.nodes.execute(node, ["rm", "-r", *(str(path.parent) for path in old)])
            known, tls = tls_step.left(found, self.registry.tls), self.registry.tls
            gone = tls_step.node_names(path.parent.name for path in known)
            tls_step.forget(self.nodes, node, (one for one in gone if one not in tls_step.node_names(tls)))
            self.nodes.write_files(node, {path: data for path, data in wanted.items() if found.get(path) != data})
        cluster = Cluster(self.names.kubeconfig)
        cluster.apply(self._hosting(there))
        cluster.apply(namespace(SYSTEM_NAMESPACE))
        if there.address:
            cluster.apply_all(containerd_hosts.service(SYSTEM_NAMESPACE, address=there.address, port=there.port))
        else:
            cluster.delete("v1", "Service", SERVICE, SYSTEM_NAMESPACE)
            cluster.delete(*SLICE)
        work.usable()  # only the test is still missing
        proved: list[Status] = []

        def unproved() -> str | None:
            proved[:] = [self._canary(there)]
            return None if proved[0].state is State.READY else proved[0].detail

        wait_until(unproved, what="the canary", timeout=PATIENCE)
        return proved[0]

    def _reach(self) -> RegistryAddresses:
        if self.registry.external:
            return endpoints.external(self.engine, self.nodes.network, self.registry.external)
        return endpoints.own(self.engine, self.nodes.network, self.names, self.registry.address)

    def _listed(self, node: str) -> Mapping[PurePosixPath, bytes]:
        _, output = self.nodes.execute(node, containerd_hosts.LISTING)
        return containerd_hosts.read_listing(output)

    def _host_files(self, there: RegistryAddresses) -> dict[PurePosixPath, bytes]:
        files = containerd_hosts.host_files(there.names, there.endpoint)
        for one in map(mirror_settings.parse_upstream, self.registry.mirrors):
            endpoint = f"http://{self.names.mirror(one.name)}:{REGISTRY_PORT}"
            files |= [containerd_hosts.host_file(one.name, endpoint, server=one.url)]
        return files

    def _stale(
        self, found: Mapping[PurePosixPath, bytes], wanted: Iterable[PurePosixPath]
    ) -> tuple[PurePosixPath, ...]:
        """Return the node's files for registries that the spec does not have any more, those in the cluster too."""
        return (*containerd_hosts.stale(found, wanted), *tls_step.left(found, self.registry.tls))

    def _hosting(self, there: RegistryAddresses) -> Mapping[str, Any]:
        return containerd_hosts.hosting(
            host=there.names[0], container_runtime=there.runtime, cluster_network=there.pods
        )

    def _missing(self, there: RegistryAddresses) -> str | None:
        """Return what the cluster's objects lack, in words."""
        cluster = Cluster(self.names.kubeconfig)
        wanted = self._hosting(there)
        found = cluster.get("v1", "ConfigMap", wanted["metadata"]["name"], wanted["metadata"]["namespace"])
        if (found or {}).get("data") != wanted["data"]:
            return f"the ConfigMap {wanted['metadata']['name']}"
        if (cluster.get("v1", "Service", SERVICE, SYSTEM_NAMESPACE) is not None) != bool(there.address):
            return f"the Service {SERVICE}"
        slices = cluster.get(*SLICE) or {}
        addresses = [address for one in slices.get("endpoints") or () for address in one["addresses"]]
        if addresses != ([there.address] if there.address else []):
            return "the registry's address"
        return None

    def _canary(self, there: RegistryAddresses) -> Status:
        """Push the test image unless the registry has it, and pull it inside every node."""
        try:
            with Client(self.registry.push_url) as client:
                image = canary_image.place(client)
        except RegistryError as error:
            if self.registry.external and error.status in (401, 403):
                return Status(State.READY, "wired; no canary: this registry requires an account")
            return Status(State.DRIFTED, f"push: {error}")
        command = canary_command(there.names[0], image, there.endpoint)
        every = self.nodes.running()
        with ThreadPoolExecutor(WIDTH) as pool:
            said = tuple(pool.map(partial(self._pull, command=command, there=there), every))
        for node, result in zip(every, said, strict=True):
            if isinstance(result, Broken):
                fix = self._fix(node, result, there)
                return Status(State.DRIFTED, f"{result.hop}: {result.reason}, on {node}; fix: {fix}")
        slowest = max(result.milliseconds for result in said if isinstance(result, Pulled))
        return Status(State.READY, f"wired, canary {slowest} ms")

    def _pull(self, node: str, *, command: tuple[str, ...], there: RegistryAddresses) -> Pulled | Broken:
        _, output = self.nodes.execute(node, command)
        return canary_result(output, there.endpoint)

    def _fix(self, node: str, broken: Broken, there: RegistryAddresses) -> str:
        network, container = self.nodes.network, self.engine.container(node)
        if container is not None and network not in container.addresses:
            return "sandbox up"  # this brings the node back, at whatever address
        return FIXES[broken.hop].format(node=node, network=network, registry=there.runtime.partition(":")[0])
