"""A spec as a list of steps: the table of contents of a sandbox, and the only place that wires things together."""

from __future__ import annotations

from sandbox.bundle.own import OwnImages
from sandbox.host.engine import Engine
from sandbox.host.own import located
from sandbox.names import Home
from sandbox.plan import addons, certificates, cluster, edge, ingress, registry
from sandbox.plan.provider import provider
from sandbox.plan.site import Site
from sandbox.registry.credential import Keychain
from sandbox.spec import Settled
from sandbox.steps.lan import access
from sandbox.steps.network import NetworkStep
from sandbox.steps.remembered import RememberedStep
from sandbox.steps.step import Step


def build(
    spec: Settled,
    home: Home,
    engine: Engine,
    own: OwnImages,
    *,
    purge: bool = False,
    keychain: Keychain | None = None,
) -> tuple[Step, ...]:
    """The steps of the sandbox that `spec` describes, in an order that respects their needs.

    `keychain` has the user's accounts at upstream registries. Reads the spec's manifests, so that whatever is wrong
    with them is said before anything is made. Raises UsageError.
    """
    if not spec.cluster.is_ours:
        from sandbox.plan import existing  # many modules that no other sandbox needs

        return existing.build(spec, home, engine, own, purge=purge, keychain=keychain)
    names = located(engine, home.sandbox(spec.name))
    site = Site(spec, names, engine, own, provider(spec, names, engine, own))
    lan = access(spec, site.keystore)
    steps: list[Step] = [
        RememberedStep(site.names, spec, purge),
        registry.images(spec, engine, own, site.store),
        NetworkStep(engine, names, ipv6=spec.cluster.ip_family != "ipv4"),
        certificates.authority(site, lan, edge.leaf(site, lan), purge),
        registry.registry(site, purge),
        *registry.mirrors(site, keychain, purge),
        *edge.edge(site, lan),
        *cluster.cluster(site),
    ]
    steps += cluster.join(site, {step.name for step in steps})
    steps += [
        certificates.trust(site),
        *registry.behind_ingress(site),
        *registry.push(site, keychain),
        registry.wiring(site, {step.name for step in steps}),
        *registry.accounts(site),
        addons.addons(site),
        *certificates.secrets(site),
        *addons.disused(site),
    ]
    steps += ingress.controller(site, {step.name for step in steps})
    steps += addons.of_minikube(site)
    steps.append(cluster.objects(site, {step.name for step in steps}))
    steps += ingress.proof(site)
    return tuple(steps)
