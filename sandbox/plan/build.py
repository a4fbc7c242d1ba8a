"""Turns a spec into a list of steps: the table of contents of a sandbox, and the only place that wires them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sandbox.bundle.system_images import OwnImages
from sandbox.components.edge.lan_access import access
from sandbox.components.ingress.https_step import HttpsStep
from sandbox.components.network.step import NetworkStep
from sandbox.components.workloads.step import WorkloadsStep
from sandbox.config.schema import ResolvedSpec
from sandbox.engine import Engine
from sandbox.names import Home, Names
from sandbox.oci.credential import Keychain
from sandbox.plan import certificates_steps, cluster_steps, edge_steps, registry_steps
from sandbox.plan.providers import provider
from sandbox.plan.saved_spec import RememberedStep
from sandbox.plan.site import ClusterSite
from sandbox.step import Step, checked

# The steps that bring in the user's files.
_FROM_FILES = ("spec", "push", "addons", "minikube-disused", "minikube-addons", "chart-archives", "charts", "apply")


def without_files(plan: Sequence[Step], names: Names) -> tuple[Step, ...]:
    """Return the plan without the steps that bring in the user's files.

    A step that waits for the workloads that are there takes their place, and the HTTPS check comes after it.
    """
    workloads = WorkloadsStep(names)
    steps = [step for step in plan if step.name not in _FROM_FILES and not isinstance(step, HttpsStep)]
    last = (step for step in plan if isinstance(step, HttpsStep))
    return (*steps, workloads, *(replace(step, requires=(*step.requires, workloads.name)) for step in last))


def build(
    spec: ResolvedSpec,
    home: Home,
    engine: Engine,
    own: OwnImages,
    *,
    environ: Mapping[str, str],
    purge: bool = False,
    keychain: Keychain | None = None,
    is_fetched: bool = False,
) -> tuple[Step, ...]:
    """Return the steps of the sandbox that `spec` describes, each after those it requires.

    `environ` are the user's variables, which name proxies and accounts; `keychain` has the accounts at upstream
    registries; with `is_fetched` others wrote the spec. Reads the spec's manifests, so that mistakes in them are
    reported before anything is made. Raises UsageError.
    """
    names = home.sandbox(spec.name)
    if not spec.cluster.supports.whole_cluster:
        from sandbox.plan import existing  # many modules that no other sandbox needs

        tenant = existing.TenantSite(spec=spec, names=names, engine=engine, own=own, keychain=keychain, purge=purge)
        return existing.build(tenant, environ)
    site = ClusterSite(
        spec=spec,
        names=names,
        engine=engine,
        own=own,
        keychain=keychain,
        purge=purge,
        provider=provider(spec, names, engine, own, environ),
        environ=environ,
        is_fetched=is_fetched,
    )
    lan = access(spec, site.keystore)
    steps: list[Step] = [
        RememberedStep(names, spec),
        registry_steps.images(site),
        NetworkStep(engine, names, ipv6=spec.cluster.ip_family != "ipv4"),
        certificates_steps.authority(site, lan, edge_steps.leaf(site, lan)),
        registry_steps.registry(site),
        *registry_steps.mirrors(site),
        *cluster_steps.cluster(site),
        edge_steps.edge(site, lan),
        certificates_steps.trust(site),
        *registry_steps.behind_ingress(site),
        *([registry_steps.push_of(site, spec.push)] if spec.push else []),
        registry_steps.wiring(engine, site.nodes, names, spec.registry),
        *registry_steps.accounts(site),
        cluster_steps.addons(site),
        *certificates_steps.secrets(site),
        *cluster_steps.disused_addons(site),
        edge_steps.ingress(site),
        *cluster_steps.addons_of_minikube(site),
        *cluster_steps.brought(site),
        cluster_steps.load_balancers(site),
        *edge_steps.ingress_proof(site),
        *edge_steps.served_ports(site),
    ]
    return checked(steps)
