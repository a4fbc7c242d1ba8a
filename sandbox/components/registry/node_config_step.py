"""Connects registries with the cluster, so that nodes pull by each of their names and tools can discover ours."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from sandbox.components import content_hash
from sandbox.components.certificates.steps import ROOT
from sandbox.components.cluster import containerd_hosts
from sandbox.components.cluster.containerd_hosts import FOLDER, SERVICE
from sandbox.components.registry import external_step
from sandbox.components.registry.external_step import RegistryAddresses
from sandbox.components.registry.mirrors_step import upstream_urls
from sandbox.config.schema import ResolvedRegistry
from sandbox.engine import Engine
from sandbox.errors import succeeded
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

PATIENCE = 30.0
WIDTH = 8

HostFiles = Mapping[PurePosixPath, bytes]


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
    delays_checks: bool = False  # what pods pulled is seen without it, and the canary takes a third of a second

    def check(self) -> Status:
        addresses = self._addresses()
        if problem := content_hash.problem(Cluster(self.names.kubeconfig), self._manifests(addresses)):
            return problem
        image, refusal = self._place_canary()
        outputs = self._look(addresses, image)
        for node, output in outputs.items():
            present, missing, stale = self._host_files(output, addresses)
            for path in missing:
                return Status(State.DRIFTED if path in present else State.ABSENT, f"hosts.toml: {path} on {node}")
            for path in stale:
                return Status(State.DRIFTED, f"hosts.toml: {path} on {node} is from an earlier spec")
        return refusal or self._pulled(outputs, addresses)

    def apply(self, work: Work) -> Status:
        addresses = self._addresses()
        for node, output in self._look(addresses).items():
            _, missing, stale = self._host_files(output, addresses)
            if stale:
                self.engine.execute(node, ["rm", "-r", *(str(path.parent) for path in stale)])
            self.engine.write_files(node, missing)
        cluster = Cluster(self.names.kubeconfig)
        cluster.apply(namespace(SYSTEM_NAMESPACE))
        cluster.apply_all(self._manifests(addresses))
        if not addresses.address:
            cluster.delete("v1", "Service", SERVICE, SYSTEM_NAMESPACE)
            cluster.delete("discovery.k8s.io/v1", "EndpointSlice", SERVICE, SYSTEM_NAMESPACE)
        work.usable()  # only the test is still missing
        status = Status(State.ABSENT)

        def unproved() -> str | None:
            nonlocal status
            image, refusal = self._place_canary()
            status = refusal or self._pulled(self._look(addresses, image), addresses)
            return None if status.state is State.READY else status.detail

        wait_until(unproved, what="the canary", timeout=PATIENCE)
        return status

    def _addresses(self) -> RegistryAddresses:
        if self.registry.external:
            return external_step.external(self.engine, self.nodes.network, self.registry.external)
        return external_step.own(self.engine, self.nodes.network, self.names, self.registry.address)

    def _look(self, addresses: RegistryAddresses, image: str = "") -> dict[str, str]:
        """Return by node what scripts/look.sh prints: its hosts.toml files and the pull of `image`, if one is given."""
        reference = image and f"{addresses.names[0]}/{image}"
        command = ("bash", "-c", files.packaged(__package__, "scripts/look.sh"), "look", str(FOLDER), reference)
        nodes = self.nodes.running()
        with ThreadPoolExecutor(WIDTH) as pool:
            outputs = pool.map(lambda node: self.engine.execute(node, command)[1], nodes)
            return dict(zip(nodes, outputs, strict=True))

    def _host_files(
        self, output: str, addresses: RegistryAddresses
    ) -> tuple[HostFiles, HostFiles, Sequence[PurePosixPath]]:
        """Return a node's hosts.toml files, those to write, and those for registries that the spec has no more."""
        wanted = containerd_hosts.host_files(addresses.names, addresses.endpoint)
        for upstream, url in upstream_urls(self.registry.mirrors).items():
            endpoint = f"http://{self.names.mirror(upstream)}:{REGISTRY_PORT}"
            wanted |= [containerd_hosts.host_file(upstream, endpoint, server=url)]
        present = containerd_hosts.read_listing(output)
        missing = {path: data for path, data in wanted.items() if present.get(path) != data}
        kept = (*wanted, *tls_host_files(self.registry.tls, 0))
        return present, missing, containerd_hosts.stale(present, kept)

    def _manifests(self, addresses: RegistryAddresses) -> list[dict[str, Any]]:
        hosting = containerd_hosts.hosting(
            host=addresses.names[0], container_runtime=addresses.runtime, cluster_network=addresses.pods
        )
        service: tuple[dict[str, Any], ...] = ()
        if addresses.address:
            service = containerd_hosts.service(SYSTEM_NAMESPACE, address=addresses.address, port=addresses.port)
        return [content_hash.marked(manifest) for manifest in (hosting, *service)]

    def _place_canary(self) -> tuple[str, Status | None]:
        """Push the canary; return its name, or else why it cannot be pulled."""
        try:
            with Client(self.registry.push_url) as client:
                return canary_image.place(client), None
        except RegistryError as error:
            if self.registry.external and error.status in (401, 403):
                return "", Status(State.READY, "wired; no canary: this registry requires an account")
            return "", Status(State.DRIFTED, f"push: {error}")

    def _pulled(self, outputs: Mapping[str, str], addresses: RegistryAddresses) -> Status:
        slowest = 0
        for node, output in outputs.items():
            last = "".join(line for line in output.splitlines()[-1:] if "\0" not in line).strip()
            word, _, result = last.partition(" ")
            if word != "pulled":
                registry = addresses.runtime.partition(":")[0]
                fix = f"see why: docker logs {registry}; docker exec {node} journalctl -u containerd"
                return Status(State.DRIFTED, f"pull: {last}, on {node}; fix: {fix}")
            slowest = max(slowest, int(result))
        return Status(State.READY, f"wired, canary {slowest} ms")


@dataclass(frozen=True)
class TlsRegistryStep(NothingToUndo):
    """Registries in the cluster, behind its ingress: hosts.toml with the sandbox's root, and names in /etc/hosts.

    WiringStep removes the files of hosts that the spec does not have any more. The engine writes /etc/hosts again at
    every start of a node, and `up` then repairs it.
    """

    nodes: Nodes
    hosts: tuple[str, ...]
    port: int  # of the ingress on every node
    name: str = "tls-registry"
    requires: tuple[str, ...] = ("trust",)

    @property
    def title(self) -> str:
        return f"Pulls from {', '.join(self.hosts)}"

    def check(self) -> Status:
        wanted = tls_host_files(self.hosts, self.port)
        for node in self.nodes.running():
            present = self.nodes.engine.read_files(node, wanted)
            for path, content in wanted.items():
                if present[path] != content:
                    return Status(State.ABSENT if present[path] is None else State.DRIFTED, f"{path} on {node}")
            if unknown := self._unknown(node):
                return Status(State.DRIFTED, f"{', '.join(unknown)} in /etc/hosts on {node}")
        return Status(State.READY)

    def apply(self, work: Work) -> None:
        for node in self.nodes.running():
            self.nodes.engine.write_files(node, tls_host_files(self.hosts, self.port))
            for name in self._unknown(node):
                # Appended in place: the engine mounts this file, and would lose a replaced one.
                script = f"echo {shlex.quote(f'127.0.0.1 {name}')} >> /etc/hosts"
                ran = self.nodes.engine.execute(node, ["sh", "-c", script])
                succeeded(ran, f"/etc/hosts on {node} cannot be written")

    def _unknown(self, node: str) -> list[str]:
        ran = self.nodes.engine.execute(node, ["cat", "/etc/hosts"])
        shown = succeeded(ran, f"/etc/hosts on {node} cannot be read")
        lines = {tuple(line.split()) for line in shown.splitlines()}
        names = dict.fromkeys(host.partition(":")[0] for host in self.hosts)
        return [name for name in names if ("127.0.0.1", name) not in lines]


def tls_host_files(hosts: Iterable[str], port: int) -> HostFiles:
    """Return files for pulls of `HOST[:PORT]/…` that trust the sandbox's root.

    On the node the ingress listens on `port`, whatever port the host has at the edge.
    """
    names = ((host, host.partition(":")[0]) for host in hosts)
    return dict(containerd_hosts.host_file(host, f"https://{name}:{port}", ca=str(ROOT)) for host, name in names)
