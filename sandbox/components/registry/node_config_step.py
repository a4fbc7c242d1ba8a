"""Connects the registry with the cluster, so that nodes pull from it by each of its names and tools can discover it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from sandbox.components import content_hash
from sandbox.components.cluster import containerd_hosts
from sandbox.components.cluster.containerd_hosts import SERVICE
from sandbox.components.registry import endpoints, mirror_settings, tls_step
from sandbox.components.registry.endpoints import RegistryAddresses
from sandbox.config.schema import ResolvedRegistry
from sandbox.engine import Engine
from sandbox.images import canary_image
from sandbox.kube.api import Cluster
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
    "pull": "see why: docker logs {registry}; docker exec {node} journalctl -u containerd",
}


@dataclass(frozen=True)
class Broken:
    """The first hop that failed when the test image was pulled (name, route, pull), and the reason."""

    hop: str
    reason: str


def canary_command(registry: str, image: str, endpoint: str) -> tuple[str, ...]:
    """Return the command for a node to pull `image` (`REPOSITORY@DIGEST`) by `registry`, a name of `endpoint`."""
    where = urlsplit(endpoint)
    port = str(where.port or (443 if where.scheme == "https" else 80))
    script = files.packaged(__package__, "scripts/canary.sh")
    return ("bash", "-c", script, "canary", f"{registry}/{image}", where.hostname or "", port)


def canary_result(output: str) -> int | Broken:
    """Return the milliseconds that the pull took, or what failed, by the command's output."""
    hop, _, rest = output.strip().partition(" ")
    if hop == "pulled":
        return int(rest)
    return Broken(hop, rest) if hop in FIXES else Broken("pull", output.strip())


@dataclass(frozen=True)
class WiringStep(NothingToUndo):
    """The registry's settings in the cluster: hosts.toml on nodes, the ConfigMap of KEP-1755, a Service for pods.

    It is ready when a tiny image, pushed from here, was pulled inside each node. Everything is removed with the
    cluster.
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
        addresses = self._addresses()
        if problem := content_hash.problem(Cluster(self.names.kubeconfig), self._manifests(addresses)):
            return problem
        wanted = self._host_files(addresses)
        for node in self.nodes.running():
            present = self._listed(node)
            for path, content in wanted.items():
                if present.get(path) != content:
                    return Status(State.DRIFTED if path in present else State.ABSENT, f"hosts.toml: {path} on {node}")
            for path in self._stale(present, wanted):
                return Status(State.DRIFTED, f"hosts.toml: {path} on {node} is from an earlier spec")
        return self._canary(addresses)

    def apply(self, work: Work) -> Status:
        addresses = self._addresses()
        wanted = self._host_files(addresses)
        for node in self.nodes.running():
            present = self._listed(node)
            if stale := self._stale(present, wanted):
                self.nodes.execute(node, ["rm", "-r", *(str(path.parent) for path in stale)])
            self.nodes.write_files(node, {path: data for path, data in wanted.items() if present.get(path) != data})
        cluster = Cluster(self.names.kubeconfig)
        cluster.apply(namespace(SYSTEM_NAMESPACE))
        cluster.apply_all(self._manifests(addresses))
        if not addresses.address:
            cluster.delete("v1", "Service", SERVICE, SYSTEM_NAMESPACE)
            cluster.delete(*SLICE)
        work.usable()  # only the test is still missing
        results: list[Status] = []

        def unproved() -> str | None:
            results[:] = [self._canary(addresses)]
            return None if results[0].state is State.READY else results[0].detail

        wait_until(unproved, what="the canary", timeout=PATIENCE)
        return results[0]

    def _addresses(self) -> RegistryAddresses:
        if self.registry.external:
            return endpoints.external(self.engine, self.nodes.network, self.registry.external)
        return endpoints.own(self.engine, self.nodes.network, self.names, self.registry.address)

    def _listed(self, node: str) -> Mapping[PurePosixPath, bytes]:
        _, output = self.nodes.execute(node, containerd_hosts.LISTING)
        return containerd_hosts.read_listing(output)

    def _host_files(self, addresses: RegistryAddresses) -> dict[PurePosixPath, bytes]:
        host_files = containerd_hosts.host_files(addresses.names, addresses.endpoint)
        for upstream in map(mirror_settings.parse_upstream, self.registry.mirrors):
            endpoint = f"http://{self.names.mirror(upstream.name)}:{REGISTRY_PORT}"
            host_files |= [containerd_hosts.host_file(upstream.name, endpoint, server=upstream.url)]
        return host_files

    def _stale(
        self, present: Mapping[PurePosixPath, bytes], wanted: Mapping[PurePosixPath, bytes]
    ) -> tuple[PurePosixPath, ...]:
        """Return the node's files for registries that the spec does not have any more, those in the cluster too."""
        return containerd_hosts.stale(present, (*wanted, *tls_step.host_files(self.registry.tls, 0)))

    def _manifests(self, addresses: RegistryAddresses) -> list[dict[str, Any]]:
        hosting = containerd_hosts.hosting(
            host=addresses.names[0], container_runtime=addresses.runtime, cluster_network=addresses.pods
        )
        service: tuple[dict[str, Any], ...] = ()
        if addresses.address:
            service = containerd_hosts.service(SYSTEM_NAMESPACE, address=addresses.address, port=addresses.port)
        return [content_hash.marked(manifest) for manifest in (hosting, *service)]

    def _canary(self, addresses: RegistryAddresses) -> Status:
        try:
            with Client(self.registry.push_url) as client:
                image = canary_image.place(client)
        except RegistryError as error:
            if self.registry.external and error.status in (401, 403):
                return Status(State.READY, "wired; no canary: this registry requires an account")
            return Status(State.DRIFTED, f"push: {error}")
        nodes = self.nodes.running()
        with ThreadPoolExecutor(WIDTH) as pool:
            pull = partial(self._pull, command=canary_command(addresses.names[0], image, addresses.endpoint))
            results = dict(zip(nodes, pool.map(pull, nodes), strict=True))
        for node, result in results.items():
            if isinstance(result, Broken):
                fix = self._fix(node, result, addresses)
                return Status(State.DRIFTED, f"{result.hop}: {result.reason}, on {node}; fix: {fix}")
        slowest = max(result for result in results.values() if isinstance(result, int))
        return Status(State.READY, f"wired, canary {slowest} ms")

    def _pull(self, node: str, *, command: tuple[str, ...]) -> int | Broken:
        return canary_result(self.nodes.execute(node, command)[1])

    def _fix(self, node: str, broken: Broken, addresses: RegistryAddresses) -> str:
        network, container = self.nodes.network, self.engine.container(node)
        if container is not None and network not in container.addresses:
            return "sandbox up"  # this brings the node back, at whatever address
        registry = addresses.runtime.partition(":")[0]
        return FIXES[broken.hop].format(node=node, network=network, registry=registry)
