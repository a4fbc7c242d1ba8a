"""The cluster that kind makes: containers as nodes, on the sandboxes' own network, with our nameservers and proxy."""

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from sandbox.bundle.recipe import fits
from sandbox.components.cluster import company_ca, docker_nodes, kubeconfig, pod_proxy
from sandbox.components.cluster.company_ca import CompanyCa
from sandbox.components.cluster.dns import Dns
from sandbox.components.cluster.kind import cluster_config, node_start, worker_join
from sandbox.components.cluster.kind.cluster_config import RESOLV_CONF, Tags, node_names
from sandbox.components.cluster.kind.command import SCRATCH, Kind
from sandbox.components.cluster.kind.worker_join import ADMIN, JOINED, PORT, ROLE, START_TIMEOUT
from sandbox.components.cluster.pod_proxy import Proxied
from sandbox.config import schema
from sandbox.engine import Engine, engine_limits
from sandbox.engine.container_host import joined
from sandbox.engine.labelled import COMPLETE
from sandbox.errors import SandboxError, succeeded
from sandbox.kube.api import trouble_of
from sandbox.names import BALANCER, Names
from sandbox.provider import Nodes, Standing
from sandbox.quantities import count
from sandbox.sanitize import fit
from sandbox.system import files
from sandbox.system.process import ToolFailed
from sandbox.system.resolvers import resolv_conf
from sandbox.system.wait import WaitTimeout, wait_until

ROLES = ("control-plane", "worker")

# Where a node image for kind says which Kubernetes it has.
VERSION = PurePosixPath("/kind/version")
MAX_NAMESERVERS = 3  # of a resolv.conf(5); the kubelet leaves out more
MARK = "--- proxy\n"
# All in one command: an engine takes a tenth of a second for each.
_LOOK = f"{{ {docker_nodes.KUBELET[2]}; }} || exit 1; cat {RESOLV_CONF}; echo '{MARK.strip()}'; {pod_proxy.SHOWN}"
LOOK = ("sh", "-c", _LOOK)
COMPLAINTS = "journalctl --unit kubelet --no-pager --output cat | grep -E '^[EF][0-9]{4} ' | tail -n 3"
NODES_APPEAR = 3.0  # seconds; the engine copies the image's /var before a new node is to be seen


def nodes(engine: Engine, names: Names, planned: schema.Nodes | None = None) -> Nodes:
    mark, expected = f"io.x-k8s.kind.cluster={names.cluster}", node_names(names.cluster, planned or schema.Nodes())
    return Nodes(engine, names.network, names.node, mark, expected, ROLE, ROLES)


def recorded_version(engine: Engine, node: str) -> str:
    return (engine.read_file(node, VERSION) or b"").decode().strip()


@dataclass(frozen=True, kw_only=True)
class KindProvider:
    """A cluster of one node or more, whose pods use our nameservers; `kubernetes` is what its `image` has."""

    engine: Engine
    names: Names
    kind: Kind
    shape: schema.Cluster
    image: str
    tags: Tags | None
    search: tuple[str, ...]
    proxied: Proxied
    company: CompanyCa
    dns: Dns
    kubernetes: str = ""

    @property
    def nodes(self) -> Nodes:
        return nodes(self.engine, self.names, self.shape.nodes)

    def standing(self) -> Standing:
        standing = self.nodes.standing()
        if standing is Standing.ABSENT:
            return Standing.STOPPED if self._left() else standing
        # kind was stopped before it had made the whole cluster.
        return Standing.PARTIAL if self.engine.read_file(self.names.node, COMPLETE) is None else standing

    def stale(self) -> str | None:
        if left := self._left():
            return f"{self.names.node}, by which it is managed, is gone; {', '.join(left)} still have what it holds"
        expected = self.shape.kubernetes
        version = recorded_version(self.engine, self.names.node) if expected else ""
        if version and expected and not fits(version, expected):
            return f"it runs Kubernetes {version}, the spec says {expected}"
        recorded = self.engine.read_file(self.names.node, COMPLETE)
        if not recorded:
            return None
        before = json.loads(recorded)
        had, nodes = schema.Nodes(**before["nodes"]), self.shape.nodes
        if had.control_plane != nodes.control_plane or had.workers > nodes.workers:
            planes, workers = count(had.control_plane, "control plane"), count(had.workers, "worker")
            return f"it was made with {planes} and {workers}"
        if self._has_rivals() and not any(node.labels.get(ROLE) == BALANCER for node in self.nodes.all()):
            return "the balancer of its control planes is gone, by which all reach the API server"
        present = self._record().items()
        other = [key for key, value in present if key not in ("nodes", "owner") and before.get(key) != value]
        return f"it was made with another {', '.join(other)}" if other else None

    def drift(self) -> str | None:
        if stopped := [node.name for node in self.nodes.all() if not node.running]:
            return f"{', '.join(stopped)} is stopped"
        if outside := [node.name for node in self.nodes.outside()]:
            return f"{', '.join(outside)} is not on the network {self.names.network}"
        missing, unjoined = self._lacking_workers()
        if missing:
            return f"{', '.join(missing)} is not there"
        if unjoined:
            return f"{', '.join(unjoined)} has not joined"
        nameservers = self._resolv_conf()
        for node in self.nodes.running():
            status, output = self.engine.execute(node, LOOK)
            if status:
                return f"the kubelet of {node} is stopped"
            present, _, proxy = output.partition(MARK)
            if present != nameservers:
                return f"other nameservers in {node}"
            if not self.proxied.is_shown(proxy):
                return f"another proxy than {self.proxied.proxies}"
        return None

    def create(self, say: Callable[[str], None], usable: Callable[[], None]) -> None:
        """Create the cluster with kind; it is usable as soon as its control plane runs, while other nodes join."""
        _ = self.company.pem  # or an error, before anything is deleted
        self.delete()
        files.make_private_dir(self.names.folder)
        version = self.engine.facts().cgroup_version
        text = cluster_config.config(self.names.cluster, self.shape, cgroup_version=version, tags=self.tags)
        files.write_atomic(self._config, text.encode(), mode=0o600)
        try:
            self._run_kind(say, usable)
        except BaseException as error:
            with contextlib.suppress(WaitTimeout):  # the engine may still be creating nodes, which are to be removed
                wait_until(self._uncreated, what="the nodes", timeout=NODES_APPEAR, sleep=time.sleep)
            if isinstance(error, ToolFailed):
                with contextlib.suppress(SandboxError):
                    status, output = self.engine.execute(self.names.node, ["sh", "-c", COMPLAINTS])
                    for line in output.splitlines() if status == 0 else ():
                        error.add_note(f"kubelet: {fit(line)}")
            raise
        for node in self.nodes.all():
            # kind's own policy, on-failure, would start a stopped node with the engine and a failed one only once.
            self.engine.keep_stopped(node.name)
        if self._has_rivals():
            node_start.name_peers(self.engine, self.names.node)
        self._note_complete()

    def _run_kind(self, say: Callable[[str], None], usable: Callable[[], None]) -> None:
        def on_line(line: str) -> None:
            if "✓" in line or "•" in line:
                say(line.encode("ascii", "ignore").decode().strip(" ."))  # without kind's pictures
            if "✓ Preparing nodes" in line:
                self._prepare_nodes()
            if "✓ Starting control-plane" in line:
                # kind then only adds the pod network and storage, and joins other nodes.
                self.write_kubeconfig()
                node = self.engine.container(self.names.node)
                for bind in node.published.get(PORT, ()) if node else ():
                    if not self.engine.is_heard(bind):
                        raise engine_limits.unheard(bind)
                usable()

        # kind asks the engine for this very image, and by its id it can be no other.
        kind, image = self.kind, self.engine.image_id(self.image) or self.image
        if kind.podman:  # which kind asks for images by names, and for networks by a pattern, to which a dot is none
            kind, image = replace(kind, network=joined(self.engine, self.names.network).id), self.image
        kind.create(self.names.cluster, image=image, config=self._config, folder=self.names.folder, on_line=on_line)

    def _uncreated(self) -> str | None:
        existing = {node.name for node in self.nodes.all()}
        return ", ".join(set(self.nodes.expected) - existing) or None

    def _prepare_nodes(self) -> None:
        for name in self.nodes.running():
            objects = cluster_config.first_files(self.dns.corefile()) if name == self.names.node else {}
            self.engine.write_files(name, {**self._first_files(), **objects})
            if self.proxied.proxies:
                self.proxied.enforce(name)
        if not self.engine.shares_network():  # an engine elsewhere makes folders of files that it does not see
            mounts = {mount.host: mount.node for mount in self.shape.mounts}
            engine_limits.require_seen(partial(self.engine.read_file, self.names.node), mounts)
        self.engine.execute(self.names.node, cluster_config.CREATE_FIRST)

    def start(self, say: Callable[[str], None]) -> Sequence[str]:
        """Start stopped nodes, add missing ones, and write nameservers and proxy, which may change, into all."""
        files.make_private_dir(self.names.folder)
        self._attach(say)
        resting = [node for node in self.nodes.all() if not node.running]
        for node in sorted({*self.nodes.running()} - {node.name for node in resting}):
            self.engine.execute(node, ["systemctl", "start", "containerd", "kubelet"])  # a killed `stop` ends them
        cold = [node.name for node in resting if not node.paused and node.labels.get(ROLE) in ROLES]
        if not resting and trouble_of(self.names.kubeconfig) is not None:
            cold = list(self.nodes.running())  # the engine itself started them a moment ago
        stopped = [node.name for node in resting]
        for name in node_start.by_address(self.engine, self.names.network, stopped):
            say(f"starting {name}")
            if name in cold:
                self.proxied.write(name)  # before its containerd reads it
            self.engine.start(name)
        nameservers = self._nameserver_file()
        for node in self.nodes.running():
            self.engine.write_files(node, nameservers)
            if node in stopped:
                wait_until(partial(worker_join.silence, self.engine, node), what=node, timeout=START_TIMEOUT)
        if not self.names.kubeconfig.exists():
            self.write_kubeconfig()  # while the API server comes
        self._add_missing(say)
        for node in self.nodes.running():
            self.proxied.repair(node, say)
        return cold

    def _add_missing(self, say: Callable[[str], None]) -> None:
        missing, unjoined = self._lacking_workers()
        for name in unjoined:
            self.engine.remove_container(name)
        if not missing and not unjoined:
            return
        wait_until(self._unanswered, what="the API server", timeout=START_TIMEOUT)
        is_same = recorded_version(self.engine, self.names.node) == self.kubernetes
        image, dual = self.image if is_same else None, self.shape.ip_family == "dual"
        for name in (*missing, *unjoined):
            say(f"adding {name}")
            worker_join.add(self.nodes, self.names.cluster, name, self._first_files(), image, dual=dual)
            self.engine.keep_stopped(name)
        self._note_complete()

    def _lacking_workers(self) -> tuple[list[str], list[str]]:
        # Those whose `up` was killed have not joined.
        planned = node_names(self.names.cluster, self.shape.nodes)[self.shape.nodes.control_plane :]
        existing = {node.name for node in self.nodes.all()}
        missing = [name for name in planned if name not in existing]
        unjoined = [name for name in planned if name in existing and self.engine.read_file(name, JOINED) is None]
        return missing, unjoined

    def _unanswered(self) -> str | None:
        status, output = self.engine.execute(self.names.node, ["kubectl", *ADMIN, "get", "--raw=/readyz"])
        return None if status == 0 else output.strip()

    def await_news(self, nodes: Sequence[str]) -> None:
        since = {node: self.engine.since(node) for node in nodes}
        node_start.await_news(self.names.kubeconfig, since)

    def _attach(self, say: Callable[[str], None]) -> None:
        # They are stopped for it: a node looks for a changed address when it starts, and a start by the engine goes to
        # a network by the id that it had (moby, daemon/container_operations.go: getNetworkID).
        network = self.names.network
        for node in self.nodes.outside():
            say(f"connecting {node.name} to the network {network}")
            if node.running:
                self._stop(node.name)
            if network in node.attached:
                self.engine.disconnect_network(network, node.name)
            self.engine.connect_network(network, node.name)

    def stop(self) -> bool:
        running = [node for node in self.nodes.all() if node.has_processes]
        if running and self._has_rivals():
            # A member that does not answer is stopped too.
            with contextlib.suppress(SandboxError):
                node_start.name_peers(self.engine, self.names.node)

        def end() -> None:
            with ThreadPoolExecutor(docker_nodes.WIDTH) as pool:
                list(pool.map(self._stop, (node.name for node in running)))

        docker_nodes.end_nodes(self.engine, self.names, running, end)
        return bool(running)

    def delete(self) -> bool:
        existing = self.nodes.all()
        # First, because nodes that are gone without it were removed by this program.
        self.names.kubeconfig.unlink(missing_ok=True)
        if existing:
            end = partial(self.kind.delete, self.names.cluster)
            docker_nodes.end_nodes(self.engine, self.names, existing, end)
        for path in (self.names.kubeconfig, self._config):
            path.unlink(missing_ok=True)
            files.sweep(path)
        for scratch in self.names.folder.glob(f"{SCRATCH}*"):
            shutil.rmtree(scratch, ignore_errors=True)
        files.remove_empty(self.names.folder)
        return bool(existing)

    def write_kubeconfig(self) -> None:
        exported = self.kind.kubeconfig(self.names.cluster, self.names.folder)
        files.write_atomic(self.names.kubeconfig, kubeconfig.of_cluster(exported), mode=0o600)

    def load(self, archive: Path) -> None:
        self.kind.load(self.names.cluster, archive)

    @property
    def _config(self) -> Path:
        return self.names.folder / "kind.yaml"

    def _stop(self, name: str) -> None:
        with contextlib.suppress(SandboxError):  # it takes longer without
            self.engine.execute(name, docker_nodes.STOP_COMMAND)
        self.engine.stop(name)

    def _left(self) -> list[str]:
        if self.engine.container(self.names.node) is not None:
            return []
        others = (node.name for node in self.nodes.all() if node.labels.get(ROLE) == ROLES[0])
        return [name for name in others if self.engine.read_file(name, JOINED) is not None]

    def _note_complete(self) -> None:
        self.engine.write_files(self.names.node, {COMPLETE: json.dumps(self._record()).encode()})

    def _first_files(self) -> dict[PurePosixPath, bytes]:
        # A company's CA that comes later needs another start of containerd, in which the kubelet may lose pods.
        company = {company_ca.PLACE: self.company.pem} if self.company.pem else {}
        return {**company, **self._nameserver_file()}

    def _record(self) -> dict[str, object]:
        fields = self.shape.model_dump(mode="json", include={"ip_family", "feature_gates", "mounts", "kind"})
        return {"nodes": self.shape.nodes.model_dump(), "owner": self.names.home.owner, **fields}

    def _nameserver_file(self) -> dict[PurePosixPath, bytes]:
        return {PurePosixPath(RESOLV_CONF): self._resolv_conf().encode()}

    def _resolv_conf(self) -> str:
        servers = self.dns.upstream.servers
        if len(self.nodes.every()) > 1:
            # Pods of a node's own network, kube-proxy among them, look for the control plane by its container's name.
            node = self.names.node
            ran = self.engine.execute(node, ["cat", "/etc/resolv.conf"])
            lines = succeeded(ran, f"the nameserver of {node} cannot be read").splitlines()
            own = [line.split()[1] for line in lines if line.startswith("nameserver ")]
            servers = (*own[:1], *servers)
        return resolv_conf(servers[:MAX_NAMESERVERS], self.search)

    def _has_rivals(self) -> bool:
        return self.shape.nodes.control_plane > 1
