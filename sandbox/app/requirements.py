"""What `up` does before its first change: agree on the spec, fetch programs, reserve ports, check every step."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from sandbox.app import context, machine_plan
from sandbox.app.agreement import Agreement, agree_on_origin, agree_on_own_name
from sandbox.app.edge import ports
from sandbox.app.machine_plan import explaining, keeping
from sandbox.app.project import spec_check
from sandbox.app.session import Session
from sandbox.app.views.known_sandboxes import cluster_of
from sandbox.bundle import released_tools
from sandbox.bundle.store import Store
from sandbox.bundle.system_images import OwnImages
from sandbox.components.certificates import cert_manager
from sandbox.components.certificates.user_certificate import Provided
from sandbox.components.cluster import kubeconfig, kubeconfig_lock
from sandbox.components.cluster.kind.worker_join import ROLE
from sandbox.components.ingress import traefik
from sandbox.components.network import proxy_settings
from sandbox.components.workloads import user_manifests
from sandbox.components.workloads.chart_archives import ChartArchives
from sandbox.components.workloads.helm import Helm
from sandbox.config.schema import Cluster, Kustomization, ResolvedSpec, Spec
from sandbox.engine import Engine, endpoint, engine_limits
from sandbox.errors import MissingTool, SandboxError, UsageError
from sandbox.names import Home, Names
from sandbox.plan import lifecycle, providers, saved_spec
from sandbox.plan.lifecycle import Found
from sandbox.step import Rebuildable, State, Step
from sandbox.system import inotify, process

if TYPE_CHECKING:
    from sandbox.app.core import Sandbox

# inotify instances that the processes of one node use; the kernel counts them for root.
OF_CONTROL_PLANE, OF_WORKER = 27, 15


@contextmanager
def surveyed(
    sandbox: Sandbox, recreate: Collection[str], prepared: Callable[[Sequence[Step]], Sequence[Step]] = tuple
) -> Iterator[tuple[ResolvedSpec, Found]]:
    """Lock the sandbox, agree on its spec, reserve its ports, and check every step. Raises SandboxError."""
    home, names, session, spec = context.home(), sandbox.names, sandbox.session, sandbox.spec
    chosen, agreement = sandbox.chosen, sandbox.agreement
    with session.alone(sandbox.name, "up"):
        agree_on_own_name(names, chosen, agreement)
        agree_on_origin(names, chosen.origin, "up", agreement)
        if not names.spec.exists():
            for other in saved_spec.names_from(home, chosen.origin):
                session.say(f"'{other}' is of the same spec, under another name; to remove it: sandbox down {other}")
        engine = Engine.connect()
        if spec.cluster.supports.whole_cluster and (refusal := engine_limits.refusal(engine.facts())):
            raise refusal
        spec_check.require_files(spec)
        context.trust(spec)
        provide_tools(spec, home, session, agreement)
        if spec.network.proxy == "auto" and spec.cluster.supports.whole_cluster:
            for fault in proxy_settings.faults(context.environ()):
                session.say(f"nodes and pods get no such proxy: {fault}")
        with ExitStack() as looking, ExitStack() as reserved:
            looking.enter_context(keeping(engine, names))
            resolved = reserved.enter_context(ports.reserve(spec, home, engine))
            steps, engine, own = machine_plan.steps(resolved, origin=chosen.origin)
            require(resolved, home, own)
            require_inotify(resolved, engine, names, agreement)
            rebuildable = [step.name for step in steps if isinstance(step, Rebuildable)]
            for name in recreate:
                if name not in rebuildable:
                    raise UsageError(f"--recreate knows no step '{name}'", fix=f"one of {', '.join(rebuildable)}")
            for note in spec_check.host_notes(resolved):
                session.say(note)
            with explaining(resolved):
                statuses = lifecycle.survey(prepared(steps), session.report)
                for step, status in statuses:  # the caller may have meant these to be recreated in any case
                    if step.name in recreate and status.state in (State.READY, State.DRIFTED):
                        session.say(f"{step.title} stays: the spec needs no other")
                looking.close()  # from here on things change
                yield resolved, statuses


def provide_tools(spec: Spec, home: Home, session: Session, agreement: Agreement) -> None:
    """Fetch official releases of missing programs, once the user agrees. Raises MissingTool without consent."""
    cluster, store = spec.cluster.supports, Store(home.bundle)
    needed = {
        "kind": cluster.node_image,
        "kubectl": not cluster.whole_cluster or any(isinstance(item, Kustomization) for item in spec.apply),
        "helm": bool(user_manifests.charts(spec.apply)),
    }
    missing = [
        released_tools.releases()[name]
        for name, is_needed in needed.items()
        if is_needed and released_tools.find(name, store) is None and released_tools.can_fetch(name)
    ]
    if not missing:
        return
    refusal = MissingTool(
        f"{' and '.join(release.name for release in missing)} {'is' if len(missing) == 1 else 'are'} not installed",
        details="\n".join(
            f"{release.name} {release.version} can be fetched, about {release.megabytes} MB: {release.source}"
            for release in missing
        ),
        fix=f"sandbox up --yes keeps the official release in {store.root / 'releases'}; or install it yourself",
    )
    if not agreement.allow(refusal):
        return
    for release in missing:
        with session.task(f"{release.name} {release.version}") as task:
            task.say(release.source)
            try:
                released_tools.fetch(release, store)
            except SandboxError as error:
                error.fix = f"{error.fix}; or build it from Go modules: sandbox bundle build {release.component}"
                raise
            task.done = "fetched, and its digest is right"


def require(spec: Spec, home: Home, own: OwnImages) -> None:
    """Raise the first reason, apart from ports, why `up` could not work; changes nothing."""
    names = home.sandbox(spec.name)
    _require_same_place(spec, home)
    kubeconfig.require_place(home.kubeconfig)
    if not spec.cluster.supports.whole_cluster:
        purpose = "the edge and registry of an existing cluster are reached by port-forwards"
        released_tools.kubectl(Store(home.bundle), purpose=purpose)
        _require_files(spec, home)
        return
    if process.which("docker") is None and process.which("podman") is None:
        raise MissingTool(
            "docker is not installed",
            details="kind and minikube need the docker command",
            fix="install it: the package docker-cli or docker.io on Debian and Ubuntu",
        )
    place = endpoint.find()
    if not place.is_here:
        raise MissingTool(
            f"the engine runs on another machine, {place.host}",
            details=f"{place.origin} names it; ports that it publishes on 127.0.0.1 are there, not here",
            fix=f"run sandbox on {place.host} itself, or use an engine of this machine: {place.how_to_leave}",
            id="engine-remote",
        )
    providers.require_tool(spec, names)
    if spec.cluster.supports.node_image:
        own.require(spec.cluster.kubernetes)
        _require_nodes(spec.cluster, own)
    if not kubeconfig.holds(home.kubeconfig, names.cluster, names.kubeconfig):
        kubeconfig_lock.require_unlocked(home.kubeconfig)
    _require_files(spec, home)
    if spec.certs.issuer == "cert-manager":
        cert_manager.release_manifest(home.manifests)
    if spec.ingress.gateway_api and own.source == "upstream":
        traefik.gateway_definitions(home.manifests)


def require_inotify(spec: Spec, engine: Engine, names: Names, agreement: Agreement) -> None:
    """Refuse to start more nodes than the kernel has inotify instances for: kube-proxy would not start there.

    Root may raise the limit, once the user agrees. Raises SandboxError.
    """
    if not spec.cluster.supports.whole_cluster or engine.shares_network() is False:
        return
    started = (container.labels for container in engine.listed() if container.state in ("running", "paused"))
    nodes = [labels for labels in started if cluster_of(labels)]
    own = [labels for labels in nodes if cluster_of(labels) in (names.cluster, spec.cluster.profile)]
    planned = spec.cluster.nodes.control_plane * OF_CONTROL_PLANE + spec.cluster.nodes.workers * OF_WORKER
    more = planned - _instances(own)
    if more <= 0:
        return
    try:
        limit, used = inotify.limits()["max_user_instances"], max(inotify.used(), _instances(nodes))
    except OSError:  # only Linux has such limits
        return
    if used + more <= limit:
        return
    refusal = SandboxError(
        "the kernel's limit of inotify instances is too low for another node",
        details=f"fs.inotify.max_user_instances is {limit}, about {used} are in use, and {more} more are needed",
        fix=f"{inotify.RAISE} (in /etc/sysctl.d to last), or take another sandbox down",
        id="machine-inotify",
    )
    if os.geteuid():
        raise refusal
    refusal.fix = f"add --yes to raise it until the machine's next start; or {refusal.fix}"
    if agreement.allow(refusal):
        try:
            inotify.raise_limits()
        except OSError as error:
            raise refusal from error


def _instances(nodes: Iterable[Mapping[str, str]]) -> int:
    return sum(OF_WORKER if labels.get(ROLE) == "worker" else OF_CONTROL_PLANE for labels in nodes)


def _require_same_place(spec: Spec, home: Home) -> None:
    def place(spec: Spec) -> str:
        cluster = spec.cluster
        if not cluster.supports.whole_cluster:
            return f"{cluster.context}, namespace {spec.namespace}"
        return f"the minikube profile {cluster.profile}" if cluster.profile else f"a cluster of {cluster.provider}'s"

    try:
        before = saved_spec.load(home.sandbox(spec.name)) or spec
    except SandboxError:  # the step of the cluster reports it
        return
    if place(before) != place(spec):
        raise UsageError(
            f"the sandbox '{spec.name}' is in {place(before)}, not in {place(spec)}",
            fix=f"sandbox down {spec.name} and then up, or give this one another name",
        )


def _require_nodes(cluster: Cluster, own: OwnImages) -> None:
    if cluster.ip_family == "ipv6":
        raise UsageError(
            "a cluster cannot have IPv6 alone",
            details="its pods could not reach the registry and this machine's nameservers, which have IPv4",
            fix="write `ip_family: dual` in the spec's `cluster`: pods and services then have IPv4 and IPv6 addresses",
        )
    for mount in cluster.mounts:
        if not mount.host.exists():
            raise UsageError(
                f"{mount.host} does not exist, but nodes mount it at {mount.node}",
                fix="create it, or correct `mounts` in the spec's `cluster`",
            )
    if own.source == "bundle" and cluster.kind and cluster.kind.networking.kubeProxyMode == "ipvs":
        raise UsageError(
            "the bundle's nodes cannot run kube-proxy with IPVS",
            details="their kube-proxy lacks the program ipset; Kubernetes gives this mode up in favour of nftables",
            fix="in sandbox.yaml: cluster: {kind: {networking: {kubeProxyMode: nftables}}}   (or, where an image "
            "registry can be reached, images: {source: upstream})",
            id="kube-proxy",
        )


def _require_files(spec: Spec, home: Home) -> None:
    if spec.certs.default:
        Provided(spec.certs.default.cert, spec.certs.default.key).require(spec.domain)
    charts, names = user_manifests.charts(spec.apply), home.sandbox(spec.name)
    if not charts or names.charts.exists() or names.rendered_charts.exists():
        return  # the step that installs charts renders the changed ones
    archives, helm = ChartArchives(home.charts), Helm.find(Store(home.bundle))
    for each in charts:
        if chart := archives.find(each):
            helm.render(chart)
