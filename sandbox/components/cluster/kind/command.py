"""The kind command line as typed calls; clusters are ours by their name."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

import yaml

from sandbox.bundle import host_programs
from sandbox.components.network.proxy_settings import BOTH_CASES
from sandbox.config import schema
from sandbox.errors import MissingTool
from sandbox.fast_dataclass import dataclass
from sandbox.system import files, process
from sandbox.system.process import ToolFailed

# The first that knows kubeadm's v1beta4.
OLDEST = (0, 32, 0)
# The first Kubernetes that kind describes by kubeadm's v1beta4.
NEW_KUBEADM = (1, 36)
# The first whose kubelet may be told whether to verify images that are there (KEP-2535, beta).
VERIFYING = (1, 35)
CREATE_TIMEOUT = 600.0
DELETE_TIMEOUT = 120.0
LOAD_TIMEOUT = 300.0
STAND_IN = files.packaged("sandbox.components.cluster", "scripts/engine-command.sh")
STAND_INS = ".kind-"
RESOLV_CONF = "/etc/kubernetes/pod-resolv.conf"
# Where kubeadm looks for patches: a folder that every node has, for one that is not there would be an error.
PATCHES = PurePosixPath("/kind")
# Of a machine with two cores Kubernetes' own parts would request a third, and user manifests that fit a cloud's node
# would not be scheduled.
REQUESTS = {"kube-apiserver": "100m", "etcd": "50m", "kube-controller-manager": "50m", "kube-scheduler": "20m"}
# By default one image after the other, although the registry is next door.
PULLS: dict[str, object] = {"serializeImagePulls": False, "maxParallelImagePulls": 4}
# kubeadm has them asked every second whether they are ready; the API server asks etcd in turn.
ASKED_SELDOM = ("kube-apiserver", "etcd", "kube-scheduler")
SELDOM = {"readinessProbe": {"periodSeconds": 5}}


def _static_pod(name: str, cpu: str) -> bytes:
    """Return a patch (kubeadm.k8s.io/v1beta4, Patches) for one of the control plane's pods."""
    container = {"name": name, "resources": {"requests": {"cpu": cpu}}, **(SELDOM if name in ASKED_SELDOM else {})}
    return json.dumps({"spec": {"containers": [container]}}).encode()


# CoreDNS, which as it comes asks the nameservers of its own accord, is not started: it would be restarted soon anyway.
STATIC_POD_PATCHES = {f"{name}.yaml": _static_pod(name, cpu) for name, cpu in REQUESTS.items()}
KUBEADM_PATCHES = {
    PATCHES / "corednsdeployment.yaml": b"{spec: {replicas: 0}}\n",
    **{PATCHES / name: text for name, text in STATIC_POD_PATCHES.items()},
}
TIMEOUTS = {"kubernetesAPICall": "4m0s", "tlsBootstrap": "5m0s"}
# kind waits half a minute for a node's systemd (kind 0.33, providers/docker/provision.go).
SLOW = "could not find a log line that matches"
TRACE, LINE = "Stack Trace", "\n"
# What kubeadm logs, and where in its work kind is.
CHATTER = r"(Command Output: )?[IW]\d{4} | [✓•✗] |Creating cluster |WARNING: |cgroup v1 is deprecated "
# kind's defaults, which the sandbox keeps.
PODS, SERVICES = "10.244.0.0/16", "10.96.0.0/16"


# A kubelet that starts before containerd listens gives up, and is started again a second later.
KUBELET_LAST = {
    PurePosixPath("/etc/systemd/system/kubelet.service.d/20-sandbox.conf"): b"[Unit]\nAfter=containerd.service\n"
}
# A lone control plane has no rival, and one that starts again would wait 15 seconds for its own lease to end.
ALONE = {"leader-elect": "false"}
# After a refusal while RBAC is not set up yet, ask again soon.
SEVERAL = {"leader-elect-retry-period": "500ms"}
# A lone etcd waits for rivals, too: for up to the election timeout of a second. Five heartbeats are the least.
ELECTION = {"heartbeat-interval": "20", "election-timeout": "100"}  # milliseconds
# kind leaves preflight out. The other restarts the kubelet at the end, which the sandbox does sooner (early_start).
SKIPPED = ["preflight", "kubelet-finalize"]
# kubeadm's own certificates end after a year by default, and the cluster with them.
YEARS = f"{5 * 365 * 24}h"
# The controllers start one after another, each with calls that the default of 20 a second holds up for seconds.
QUOTA = {"kube-api-qps": "200", "kube-api-burst": "400"}


@dataclass(frozen=True)
class Tags:
    """The image tags that kubeadm is to use with our node image, where they differ from its own defaults."""

    etcd: str
    coredns: str


def config(
    name: str, shape: schema.Cluster, *, mounts: Mapping[Path, str], cgroup_version: int, tags: Tags | None
) -> str:
    """Return the kind configuration (kind.x-k8s.io/v1alpha4) of a cluster whose pods use our nameservers.

    `mounts` are files of this machine, RESOLV_CONF among them, by their places in every node.
    """
    more = shape.kind or schema.KindOptions()
    election = ALONE if shape.nodes.control_plane == 1 else SEVERAL
    kubelet: dict[str, object] = {"kind": "KubeletConfiguration", "resolvConf": RESOLV_CONF, **PULLS}
    if cgroup_version == 1:
        # Kubernetes 1.35 and newer refuse cgroup v1 unless told (KEP-5573).
        kubelet |= {"failCgroupV1": False}
    if not is_before(VERIFYING, shape.kubernetes):
        # Our images are on the node without ever having been pulled. Once the same bytes are pulled by another name, as
        # busybox may be, the kubelet would want a pull of our names too, and no registry serves these (KEP-2535).
        kubelet |= {"imagePullCredentialsVerificationPolicy": "NeverVerify"}
    # kind configures older ones by kubeadm's v1beta3 (kind 0.33, kubeadm/config.go, Config).
    old = is_before(NEW_KUBEADM, shape.kubernetes)
    cluster: dict[str, object] = {"kind": "ClusterConfiguration"}
    if old:  # arguments are a mapping, and neither keys nor their validity can be chosen
        cluster |= {"scheduler": {"extraArgs": election}}
    else:
        # A dozen RSA keys would take a second or two to make.
        cluster |= {"encryptionAlgorithm": "ECDSA-P256", "certificateValidityPeriod": YEARS}
        cluster |= {"scheduler": {"extraArgs": _arguments(election)}}
    etcd: dict[str, object] = {"imageTag": tags.etcd} if tags else {}
    if shape.nodes.control_plane == 1:
        etcd |= {"extraArgs": ELECTION if old else _arguments(ELECTION)}
    cluster |= {"etcd": {"local": etcd}} if etcd else {}
    cluster |= {"dns": {"imageTag": tags.coredns}} if tags else {}
    init: dict[str, object] = {"kind": "InitConfiguration", "patches": {"directory": str(PATCHES)}}
    # kubeadm gives a call a minute, which is short where several clusters start at once.
    node: dict[str, object] = {} if old else {"timeouts": TIMEOUTS}
    if shape.nodes.control_plane > 1 and not shape.nodes.workers:
        node |= {"nodeRegistration": {"taints": []}}  # as kind does with a lone one: else no pod had a node
    join = [{"kind": "JoinConfiguration", **node}] if node else []
    init |= node
    init |= {"skipPhases": SKIPPED} if shape.nodes.control_plane == 1 else {}
    extra = [_mount(path, place, read_only=True) for path, place in mounts.items()]
    extra += [_mount(one.host, one.node, read_only=one.read_only) for one in shape.mounts]
    roles = ["control-plane"] * shape.nodes.control_plane + ["worker"] * shape.nodes.workers
    # Added one by one, since kind has arguments of its own there.
    place = "/controllerManager/extraArgs/"
    added = (
        [{"op": "add", "path": place + name, "value": value} for name, value in (election | QUOTA).items()]
        if old
        else [{"op": "add", "path": place + "-", "value": argument} for argument in _arguments(election | QUOTA)]
    )
    patch = {
        "group": "kubeadm.k8s.io",
        "version": "v1beta3" if old else "v1beta4",
        "kind": "ClusterConfiguration",
        "patch": yaml.safe_dump(added),
    }
    network = {"disableDefaultCNI": True} if tags else {}  # our image brings one
    content = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "name": name,
        "networking": {"ipFamily": shape.ip_family} | network | more.networking.model_dump(exclude_none=True),
        "featureGates": dict(shape.feature_gates),
        "runtimeConfig": dict(more.runtimeConfig),
        "nodes": [{"role": role, "extraMounts": extra} for role in roles],
        # What the user wants comes last, and so wins.
        "kubeadmConfigPatches": [
            *(yaml.safe_dump(one) for one in (init, *join, kubelet, cluster)),
            *more.kubeadmConfigPatches,
        ],
        "kubeadmConfigPatchesJSON6902": [
            patch,
            *(one.model_dump() for one in more.kubeadmConfigPatchesJSON6902),
        ],
        "containerdConfigPatches": list(more.containerdConfigPatches),
    }
    return yaml.dump(content, Dumper=_Plain, sort_keys=False)


def is_before(release: tuple[int, int], kubernetes: str | None) -> bool:
    """Tell whether that Kubernetes is older than the minor `release`; None is the newest that there are images of."""
    return kubernetes is not None and _numbers(kubernetes)[:2] < release


def in_reach(before: str, after: str) -> bool:
    """Tell whether kubeadm upgrades that Kubernetes to this one: to a later patch, or to the next minor."""
    (major, minor, patch), later = _numbers(before), _numbers(after)
    return later[0] == major and ((later[1] == minor and later[2] > patch) or later[1] == minor + 1)


def _numbers(version: str) -> tuple[int, int, int]:
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2]), int(found[3])) if found else (0, 0, 0)


class _Plain(yaml.SafeDumper):
    """Writes what is the same for several nodes out for each."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _mount(path: Path, place: str, *, read_only: bool) -> dict[str, object]:
    return {"hostPath": str(path), "containerPath": place, "readOnly": read_only}


def node_names(cluster: str, nodes: schema.Nodes) -> tuple[str, ...]:
    """Return what kind calls the nodes of a cluster, the first control plane first."""
    counts = (("control-plane", nodes.control_plane), ("worker", nodes.workers))
    return tuple(f"{cluster}-{role}{n if n > 1 else ''}" for role, count in counts for n in range(1, count + 1))


def _arguments(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def sweep(folder: Path) -> None:
    """Remove what a `Kind.create` that was killed left in the kubeconfig's folder."""
    for left in folder.glob(f"{STAND_INS}*"):
        shutil.rmtree(left, ignore_errors=True)


@dataclass(frozen=True)
class Kind:
    """One installed kind, working on one network of the engine, or of the Podman at that address.

    `balancer` is the image that several control planes are behind, in place of the one that kind has by a tag.
    """

    program: Path
    network: str
    podman: str = ""
    balancer: str = ""

    @classmethod
    def find(cls, network: str, *, bundled: Path | None) -> Kind:
        """Return the kind on the PATH, else the bundle's; MissingTool when there is none."""
        program = process.which("kind") or bundled
        if program is None:
            raise MissingTool(
                "kind is not installed",
                fix=host_programs.advice(
                    "kind",
                    linux="`sandbox bundle build kind` makes one, or install kind 0.32 or newer: "
                    "https://kind.sigs.k8s.io",
                ),
            )
        return cls(program, network)

    def require(self) -> str:
        """Return its version. Raises MissingTool unless it is new enough for hosts.toml to work without patches."""
        said = process.run([self.program, "version"], timeout=20)
        match = re.search(r"\bv?(\d+)\.(\d+)\.(\d+)", said)
        if match is None or tuple(map(int, match.groups())) < OLDEST:
            raise MissingTool(
                f"kind is too old: {said.strip()}",
                details=f"found at {self.program}",
                fix="install kind {}.{}.{} or newer".format(*OLDEST),
            )
        return match[0]

    def create(self, name: str, *, image: str, config: Path, kubeconfig: Path, on_line: Callable[[str], None]) -> None:
        """Create the cluster and write its kubeconfig; returns before the node is Ready.

        What there is of a cluster that cannot be created stays, to be asked why; but where a node's system took longer
        to start than kind waits, all is tried a second time.
        """
        words = ["create", "cluster", "--retain", "--name", name, "--image", image]
        words += ["--config", str(config), "--kubeconfig", str(kubeconfig)]
        try:
            with self._engine_command(kubeconfig.parent) as env:
                try:
                    self._run(words, timeout=CREATE_TIMEOUT, on_line=on_line, env=env)
                except ToolFailed as error:
                    if SLOW not in error.output:
                        raise
                    on_line("• The node's system takes long to start, so once more")
                    self.delete(name, kubeconfig=kubeconfig)
                    self._run(words, timeout=CREATE_TIMEOUT, on_line=on_line, env=env)
        except ToolFailed as error:
            # Neither where in kind it was, nor what kubeadm was about to do.
            lines = error.output.partition(TRACE)[0].splitlines()
            said = "\n".join(line for line in lines if not re.match(CHATTER, line))
            error.details = f"{error.details.partition(LINE)[0]}{LINE}{process.last_lines(said)}"
            raise

    def write_kubeconfig(self, name: str, kubeconfig: Path) -> None:
        """Write the kubeconfig of a running cluster again."""
        self._run(["export", "kubeconfig", "--name", name, "--kubeconfig", kubeconfig], timeout=60)

    def load(self, name: str, archive: Path) -> None:
        """Put the images of an archive into the cluster's nodes."""
        self._run(["load", "image-archive", archive, "--name", name], timeout=LOAD_TIMEOUT)

    def delete(self, name: str, *, kubeconfig: Path) -> None:
        """Delete the cluster's nodes and its entry in `kubeconfig`; gone already is fine."""
        self._run(["delete", "cluster", "--name", name, "--kubeconfig", kubeconfig], timeout=DELETE_TIMEOUT)

    @contextlib.contextmanager
    def _engine_command(self, folder: Path) -> Iterator[Mapping[str, str]]:
        """Yield the variables by which kind finds an engine's command that takes our balancer for kind's."""
        name = "podman" if self.podman else "docker"
        engine = process.which(name)
        if not self.balancer or engine is None:  # without it kind says so
            yield {}
            return
        with tempfile.TemporaryDirectory(prefix=STAND_INS, dir=folder) as place:
            script = Path(place) / name
            script.write_text(STAND_IN, encoding="utf-8")
            script.chmod(0o700)
            yield {
                "PATH": process.path_after(place),
                "SANDBOX_ENGINE": str(engine),
                "SANDBOX_BALANCER": self.balancer,
            }

    def _run(
        self,
        arguments: process.Argv,
        *,
        timeout: float,
        on_line: Callable[[str], None] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        told = {"KIND_EXPERIMENTAL_DOCKER_NETWORK": self.network, "KIND_EXPERIMENTAL_PROVIDER": "docker"}
        if self.podman:
            told = {"KIND_EXPERIMENTAL_PODMAN_NETWORK": self.network, "KIND_EXPERIMENTAL_PROVIDER": "podman"}
            told["CONTAINER_HOST"] = self.podman  # else the podman command is an engine of its own
        # kind would tell the whole node of this machine's proxy, and not of the registry that is reached without.
        told |= dict.fromkeys(BOTH_CASES, "")
        process.run([self.program, *arguments], timeout=timeout, env={**told, **(env or {})}, on_line=on_line)
