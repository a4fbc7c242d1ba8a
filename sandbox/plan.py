"""A spec as a list of steps: the table of contents of a sandbox, and the only place that wires things together."""

from __future__ import annotations

from pathlib import Path

from sandbox.bundle.own import OwnImages
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.certs.keystore import Keystore
from sandbox.certs.names import subject_names
from sandbox.cluster import manifests
from sandbox.cluster.kind import Kind, Tags
from sandbox.host.engine import Bind, Engine
from sandbox.host.resolvers import nameservers
from sandbox.names import DEFAULT_TLS, NETWORK, SYSTEM_NAMESPACE, Home, Names
from sandbox.registry import imagelist, lock
from sandbox.registry.imagelist import Entry
from sandbox.spec import Spec
from sandbox.steps.apply import ApplyStep
from sandbox.steps.authority import AuthorityStep
from sandbox.steps.cluster import ClusterStep
from sandbox.steps.context import ContextStep
from sandbox.steps.dns import DnsStep
from sandbox.steps.edge import EdgeStep
from sandbox.steps.https import HttpsStep
from sandbox.steps.images import ImagesStep
from sandbox.steps.ingress import IngressStep
from sandbox.steps.network import NetworkStep
from sandbox.steps.page import PageStep
from sandbox.steps.push import PushStep
from sandbox.steps.registry import RegistryStep
from sandbox.steps.secrets import SecretsStep, TlsSecret
from sandbox.steps.step import Step
from sandbox.steps.wiring import WiringStep


def build(spec: Spec, home: Home, engine: Engine, own: OwnImages, *, purge: bool = False) -> tuple[Step, ...]:
    """The steps of the sandbox that `spec` describes, in an order that respects their needs.

    Reads the spec's manifests, so that whatever is wrong with them is said before anything is made. Raises UsageError.
    """
    names = home.sandbox(spec.name)
    images = own.references
    binds = tuple(Bind(spec.proxy.listen, port) for port in spec.proxy.ports)
    keystore = Keystore(names.keys)
    secrets = _secrets(spec)
    steps: list[Step] = [
        ImagesStep(engine, own, Store(home.bundle)),
        NetworkStep(engine),
        AuthorityStep(names, keystore, spec.domain, {one.leaf: one.hosts for one in secrets}, purge),
        RegistryStep(engine, names, images["registry"], spec.registry.port, purge),
        EdgeStep(engine, names, images["haproxy"], spec.domain, binds),
        ClusterStep(
            engine,
            names,
            Kind.find(NETWORK, extra=Store(home.bundle).program(recipes()["kind"], "kind").parent),
            images["node"],
            own.kubernetes,
            _tags(own),
            nameservers() if spec.network.nameservers == "auto" else spec.network.nameservers,
        ),
        ContextStep(names),
        DnsStep(names),
    ]
    if spec.push:
        steps.append(PushStep(engine, _pushed(spec.push), spec.registry.port, needs=("registry", "images")))
    steps += [WiringStep(engine, names, spec.registry.port), SecretsStep(names, keystore, secrets)]
    if spec.ingress.controller == "traefik":
        steps.append(IngressStep(engine, names, images["traefik"], images["busybox"]))
    steps += _last(spec, names, binds, {step.name for step in steps})
    return tuple(steps)


def _pushed(manifest: Path) -> tuple[Entry, ...]:
    """The images of the manifest, those of other registries at the digest that its lock has."""
    return lock.pinned(imagelist.load(manifest), lock.load(lock.beside(manifest)), manifest.parent)


def _last(spec: Spec, names: Names, binds: tuple[Bind, ...], before: set[str]) -> list[Step]:
    """What comes when the rest stands: the user's objects, the page that lists their hosts, the proof."""
    steps: list[Step] = []
    if spec.apply:
        wanted = [name for name in ("push", "wiring", "secrets") if name in before]
        steps.append(ApplyStep(names, manifests.load(spec.apply), needs=tuple(wanted)))
    if "ingress" in before:
        needs = ("ingress", "apply") if spec.apply else ("ingress",)
        steps.append(PageStep(names, spec.proxy.ports[0], needs=needs))
        steps.append(HttpsStep(names, spec.domain, binds, needs=("edge", *needs)))
    return steps


def _secrets(spec: Spec) -> tuple[TlsSecret, ...]:
    own = TlsSecret(SYSTEM_NAMESPACE, DEFAULT_TLS, "default", subject_names(spec.domain))
    extra = (
        TlsSecret(one.namespace, one.secret, f"{one.namespace}.{one.secret}", one.hosts) for one in spec.certs.secrets
    )
    return (own, *extra)


def _tags(own: OwnImages) -> Tags | None:
    """The bundle's etcd and CoreDNS are newer than those that kubeadm would ask for."""
    if own.source != "bundle":
        return None
    return Tags(etcd=f"{recipes()['etcd'].version}-0", coredns=recipes()["coredns"].version)
