"""A cluster that minikube creates, or a profile of the user's that the sandbox uses; nodes are containers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sandbox.components import content_hash
from sandbox.components.cluster import pod_proxy
from sandbox.components.cluster.containerd_hosts import FOLDER, MARK
from sandbox.components.cluster.minikube.command import RUNTIME, Minikube
from sandbox.components.cluster.pod_proxy import Proxied
from sandbox.engine import Engine, EngineError, labelled
from sandbox.errors import Away, SandboxError, UsageError
from sandbox.kube.api import Cluster
from sandbox.names import HOST_PORT, SYSTEM_NAMESPACE, Names
from sandbox.provider import Nodes, Provider, Standing
from sandbox.system import files, process
from sandbox.system.wait import wait_until

RBAC = "rbac.authorization.k8s.io/v1"
# Of the ingress controller, the Gateway API and MetalLB.
ROLES = ("traefik", "traefik-gateway", "metallb-controller", "metallb-speaker")
OURS = (
    *(
        (pod_proxy.API, kind, name, None)
        for name in ("sandbox-credentials", pod_proxy.POLICY)
        for kind in ("MutatingAdmissionPolicyBinding", "MutatingAdmissionPolicy")
    ),
    *((RBAC, kind, f"sandbox-{name}", None) for name in ROLES for kind in ("ClusterRoleBinding", "ClusterRole")),
    ("v1", "ConfigMap", "local-registry-hosting", "kube-public"),
    ("v1", "Namespace", SYSTEM_NAMESPACE, None),
)

DRIVER = "docker"
# The label of a node's container; its value is the profile (minikube: pkg/drivers/kic/oci/types.go).
PROFILE = "name.minikube.sigs.k8s.io"
# What tells a node from the containers by which minikube only prepares its volume; its value is empty.
ROLE = "role.minikube.sigs.k8s.io"
# Loaded images were never pulled. Once the same bytes are pulled by another name, the kubelet would want a pull of the
# loaded names too, for which there is no registry (KEP-2535). minikube passes on no other setting that prevents it, and
# a kubelet before 1.33 does not have this one.
NO_SECOND_PULL = "--extra-config=kubelet.feature-gates=KubeletEnsureSecretPulledImages=false"
# A folder of every node, on its disk.
NODE_FOLDER = PurePosixPath("/var/lib/minikube")
# A file in the node that shows that minikube has finished.
COMPLETE = PurePosixPath("/etc/sandbox/complete")


def uninstall(cluster: Cluster, nodes: Nodes) -> None:
    """Remove the sandbox from the cluster. Raises SandboxError when it or a node cannot be reached.

    The root's ConfigMaps and the TLS Secrets stay: pods of the user's that mount them could not start again.
    """
    for ingress_class in cluster.list("networking.k8s.io/v1", "IngressClass"):
        if content_hash.mark(ingress_class):
            cluster.delete("networking.k8s.io/v1", "IngressClass", ingress_class["metadata"]["name"])
    for service in cluster.list("v1", "Service", selector=f"{HOST_PORT}=true"):
        cluster.delete("v1", "Service", service["metadata"]["name"], service["metadata"]["namespace"])
    for api_version, kind, name, namespace in OURS:
        cluster.delete(api_version, kind, name, namespace)
    script = files.packaged("sandbox.components.cluster", "scripts/uninstall.sh")
    words = [pod_proxy.DROP_IN, MARK.decode().strip(), str(FOLDER)]
    for node in nodes.running():
        nodes.engine.execute(node, ["sh", "-c", script, "uninstall", *words])


def nodes(engine: Engine, profile: str) -> Nodes:
    """Return the nodes of a profile, whether or not they exist; its network and first node have the profile's name."""
    return Nodes(engine, profile, profile, f"{PROFILE}={profile}", (profile,), ROLE, ("",))


@dataclass(frozen=True, kw_only=True)
class MinikubeProvider(Provider):
    """A profile of minikube's: the sandbox's own, or if `adopted` the user's, which is never created or removed.

    `kubernetes` is its version, by default minikube's; `loaded` says that our images are loaded into its nodes.
    """

    engine: Engine
    names: Names
    minikube: Minikube
    adopted: bool
    kubernetes: str | None
    proxied: Proxied
    loaded: bool = False

    @property
    def nodes(self) -> Nodes:
        return nodes(self.engine, self.minikube.profile)

    def standing(self) -> Standing:
        standing = self.nodes.standing()
        if standing is Standing.ABSENT or self.adopted:
            return standing
        return Standing.PARTIAL if self.engine.read_file(self.minikube.profile, COMPLETE) is None else standing

    def drift(self) -> str | None:
        behind = [node for node in self.nodes.running() if not self.proxied.is_in_force(node)]
        return f"another proxy than {self.proxied.proxies}" if behind else None

    def create(self, say: Callable[[str], None], usable: Callable[[], None]) -> None:
        """Create the profile; other steps begin when minikube has ended, because it changes CoreDNS until then."""
        if self.adopted:
            _require_usable(self.minikube)
        if self.standing() is Standing.PARTIAL:
            self.delete()
        files.make_private_dir(self.names.folder)
        version = (f"--kubernetes-version={self.kubernetes}",) if self.kubernetes else ()
        loaded = (NO_SECOND_PULL,) if self.loaded else ()
        options = (f"--driver={DRIVER}", f"--container-runtime={RUNTIME}", *version, *loaded)
        self.minikube.start(kubeconfig=self.names.kubeconfig, options=options, say=say)
        self.engine.write_files(self.minikube.profile, {COMPLETE: b""})
        self._repair_proxy(say)

    def start(self, say: Callable[[str], None]) -> Sequence[str]:
        """Start what is stopped, write the API server's present address, and give containerd the proxy.

        minikube leaves the kubelet's unit disabled. A node that `docker restart` or an interrupted `minikube start`
        started therefore runs without Kubernetes.
        """
        # The user's own context was removed by `minikube stop`; `minikube start` restores it.
        kubeconfig = None if self.adopted else self.names.kubeconfig
        if self.minikube.stopped_parts(kubeconfig).keys() - {"Kubeconfig"}:
            self.minikube.start(kubeconfig=kubeconfig, say=say)
        self.write_kubeconfig()
        self._repair_proxy(say)
        return ()

    def stop(self) -> bool:
        if self.nodes.standing() is not Standing.RUNNING:
            return False
        self.minikube.stop(None if self.adopted else self.names.kubeconfig)
        return True

    def delete(self) -> bool:
        """Disconnect our containers and delete the profile; remove only the sandbox's objects from an adopted one."""
        standing = self.nodes.standing()
        existed = standing is not Standing.ABSENT
        self._leave_network()
        if self.adopted and standing is Standing.RUNNING and self.names.kubeconfig.exists():
            uninstall(Cluster(self.names.kubeconfig), self.nodes)
        if not self.adopted:
            # First, because nodes that are gone without it were removed by this program.
            self.names.kubeconfig.unlink(missing_ok=True)
            if existed or self.minikube.inspect():
                self.minikube.delete(self.names.kubeconfig)
            wait_until(self._sweep, what=f"the end of '{self.minikube.profile}'", timeout=60, pause=0.5)
        self.names.kubeconfig.unlink(missing_ok=True)
        files.remove_empty(self.names.folder)
        return existed and not self.adopted

    def write_kubeconfig(self) -> None:
        files.make_private_dir(self.names.folder)
        self.minikube.write_kubeconfig(self.names.kubeconfig)

    def load(self, archive: Path) -> None:
        """Load the images into the nodes; minikube would make two more copies on the way, and not report failures."""
        for node in self.nodes.running():
            copy = str(NODE_FOLDER / archive.name)
            self.engine.copy_file(node, archive, NODE_FOLDER)
            status, output = self.engine.execute(node, ["ctr", "--namespace", "k8s.io", "images", "import", copy])
            self.engine.execute(node, ["rm", copy])
            if status != 0:
                raise SandboxError(f"{node} did not take the images of {archive}", details=process.last_lines(output))

    def _sweep(self) -> str | None:
        # `minikube delete` leaves this, without an error, when the engine takes long to end a node, and the engine may
        # refuse to remove what it is already removing.
        try:
            for node in self.nodes.all():
                self.engine.remove_container(node.name)
            for volume, labels in self.engine.labelled_volumes(PROFILE).items():
                if labels[PROFILE] == self.minikube.profile:
                    self.engine.remove_volume(volume)
            if self.engine.network(self.nodes.network):
                # Another command may have recreated the edge meanwhile, which then has joined again.
                self._leave_network()
                self.engine.remove_network(self.nodes.network)
        except Away:
            raise
        except EngineError as error:
            return error.details or error.brief
        return None

    def _repair_proxy(self, say: Callable[[str], None]) -> None:
        for node in self.nodes.running():
            self.proxied.repair(node, say)

    def _leave_network(self) -> None:
        network = self.engine.network(self.nodes.network)
        ours = {container.name for container in labelled.containers(self.engine, self.names.home)}
        for member in sorted(ours & network.members) if network else ():
            self.engine.disconnect_network(self.nodes.network, member)


def require(minikube: Minikube, *, adopted: bool) -> None:
    """Raise MissingTool where it is too old, and UsageError for an adopted profile that cannot be used."""
    minikube.require()
    if adopted:
        _require_usable(minikube)


def _require_usable(minikube: Minikube) -> None:
    profile, settings = minikube.profile, minikube.inspect()
    command = f"minikube start --profile {profile} --driver={DRIVER} --container-runtime={RUNTIME}"
    if settings is None:
        raise UsageError(
            f"there is no minikube profile '{profile}'",
            details="`cluster: {profile: …}` names one of your profiles for the sandbox to move into",
            fix=f"{command}, or leave `profile` out and the sandbox makes its own",
        )
    if settings != (DRIVER, RUNTIME):
        raise UsageError(
            f"the sandbox cannot use the minikube profile '{profile}'",
            details=f"it runs {settings[1]} by the driver {settings[0]}; nodes have to be containers of the "
            f"engine and pull with {RUNTIME}",
            fix=f"make another: {command.replace(profile, f'{profile}-{RUNTIME}', 1)}",
        )
